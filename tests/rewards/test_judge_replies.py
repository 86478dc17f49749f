"""The judge at an endpoint that replies anything at all: no score, counted, within its limits."""

import asyncio
import contextlib
import json
import socketserver
import threading
import time

import pytest

from rewards import build_rewards
from rewards.endpoint import read_reply
from tests.support.commands import answered


def completion(**choice):
    return json.dumps({"choices": [{"message": {"content": "Score: 1"}, **choice}]}).encode()


def http(body, *headers, status="200 OK"):
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


JSON = "Content-Type: application/json"
# What the server sends, by the answer that is to be judged. It closes the connection after it.
REPLIES = {
    "whole": http(completion(finish_reason="stop"), JSON),
    "without a reason": http(completion(), JSON),
    "with a reason of its server": http(completion(finish_reason="eos_token"), JSON),
    # No message.
    "HTML": http(b"<html>Score: 1</html>", "Content-Type: text/html"),
    "HTML as JSON": http(b"<html>Score: 1</html>", JSON),
    "text": http(b"Score: 1", "Content-Type: text/plain"),
    "empty": http(b"", JSON),
    "no content": http(b"", JSON, status="204 No Content"),
    "null": http(b"null", JSON),
    "list": http(b"[]", JSON),
    "number": http(b"1", JSON),
    "string": http(b'"Score: 1"', JSON),
    "mapping": http(b"{}", JSON),
    "error": http(b'{"error": {"message": "Score: 1"}}', JSON),
    "choices null": http(b'{"choices": null}', JSON),
    "choices text": http(b'{"choices": "Score: 1"}', JSON),
    "no choice": http(b'{"choices": []}', JSON),
    "choice null": http(b'{"choices": [null]}', JSON),
    "message null": http(completion(message=None), JSON),
    "message text": http(completion(message="Score: 1"), JSON),
    "no message": http(b'{"choices": [{"text": "Score: 1"}]}', JSON),
    "content null": http(completion(message={"content": None}), JSON),
    "content list": http(completion(message={"content": [{"text": "Score: 1"}]}), JSON),
    "content number": http(completion(message={"content": 1}), JSON),
    "no score": http(completion(message={"content": "Yes!"}), JSON),
    "score above 1": http(completion(message={"content": "Score: 10"}), JSON),
    # Not whole.
    "cut off": http(completion(finish_reason="length"), JSON),
    "filtered": http(completion(finish_reason="content_filter"), JSON),
    "truncated": http(completion(), JSON)[:-9],
    "half of the JSON": http(completion()[:-9], JSON),
    "chunk without end": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\n{",
    "closed": b"",
    # Not HTTP, or not this kind of it.
    "no HTTP": b"SSH-2.0-OpenSSH_9.6\r\n",
    "no status": b"HTTP/1.1 Score: 1\r\n\r\n",
    "other encoding": http("Score: 1".encode("utf-16"), JSON + "; charset=nonsense"),
    "compressed": http(b"\x1f\x8b", JSON, "Content-Encoding: gzip"),
    "redirect to itself": http(b"", "Location: /v1/chat/completions", status="307 Again"),
    "redirect to a file": http(b"", "Location: file:///etc/passwd", status="302 Found"),
    "redirect to nowhere": http(b"", "Location: http://[::", status="302 Found"),
    "not modified": http(b"", status="304 Not Modified"),
    "bad request": http(b"<html>", status="400 Bad Request"),
    "broken": http(b"[" * 10**5, JSON, status="500 Internal Server Error"),
    # Built to break parsers.
    "deep": http(b'{"choices":' + b"[" * 10**5, JSON),
    "long integer": http(b'{"choices": ' + b"1" * 10**5 + b"}", JSON),
}
SCORED = {"whole", "without a reason", "with a reason of its server"}

# What has no end: the status and headers before it, and what is repeated.
HEAD = b"HTTP/1.1 200 OK\r\n"
MEGABYTE = b" " * 2**20
LARGE = {
    "large": (HEAD + b"\r\n", MEGABYTE),
    "large error": (b"HTTP/1.1 500 No\r\n\r\n", MEGABYTE),
    "large redirect": (b"HTTP/1.1 307 No\r\nLocation: /v1\r\n\r\n", MEGABYTE),
    "large, chunked": (
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n",
        b"100000\r\n%s\r\n" % MEGABYTE,
    ),
    "large header": (HEAD + b"X-Header: ", MEGABYTE),
}
DRIPPING = {
    "dripping": (HEAD + b"\r\n", b" "),
    "dripping error": (b"HTTP/1.1 400 No\r\n\r\n", b" "),
    "dripping header": (HEAD + b"X-Header: ", b" "),
    "dripping redirect": (b"HTTP/1.1 307 No\r\nLocation: /v1\r\n\r\n", b" "),
    "silent": (b"", b""),
}


class Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    request_queue_size = 128
    sent = 0
    stopped = threading.Event()


class Handler(socketserver.StreamRequestHandler):
    def handle(self):
        length = 0
        for line in iter(self.rfile.readline, b"\r\n"):
            if not line:
                return
            if line.lower().startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        body = json.loads(self.rfile.read(length))
        answer = body["messages"][0]["content"].split("---\n")[1].split("\n---")[0]
        with contextlib.suppress(OSError):  # the judge has had enough
            self.reply(answer)

    def reply(self, answer):
        if answer in REPLIES:
            self.wfile.write(REPLIES[answer])
            return
        start, repeated = (LARGE | DRIPPING)[answer]
        self.wfile.write(start)
        pause = 0.05 if answer in DRIPPING else 0
        while not self.server.stopped.wait(pause):
            self.wfile.write(repeated)
            self.server.sent += len(repeated)


@pytest.fixture
def server():
    with Server(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.stopped.set()
        server.shutdown()
    server.stopped.clear()


def judge(server, answers, **parameters):
    """The scores of the judge, and the fraction that it counts as failed."""
    url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    entry = {"name": "judge", "base_url": url, "model": "m", "retries": 0, **parameters}
    (function,), _ = build_rewards([entry])
    metrics = {}
    columns = {"question": ["?"] * len(answers), "answer": ["1"] * len(answers)}
    scores = function(
        completions=[*map(answered, answers)], log_metric=metrics.__setitem__, **columns
    )
    return dict(zip(answers, scores, strict=True)), metrics["rewards/judge/failed"]


def test_a_reply_that_is_not_what_was_asked_for_is_no_score_and_counted(server):
    scores, failed = judge(server, list(REPLIES))
    assert scores == {answer: 1.0 if answer in SCORED else None for answer in REPLIES}
    assert failed == (len(REPLIES) - len(SCORED)) / len(REPLIES)


def test_a_reply_without_end_is_read_to_its_limit(server):
    scores, failed = judge(server, list(LARGE))
    assert set(scores.values()) == {None}
    assert failed == 1
    # What was sent beyond the limit stayed in the buffers of the connections.
    assert server.sent < 100 << 20


def test_a_reply_that_takes_for_ever_has_a_limit_in_time(server):
    started = time.monotonic()
    scores, failed = judge(server, list(DRIPPING), timeout_seconds=1, retries=1)
    assert set(scores.values()) == {None}
    assert failed == 1
    assert time.monotonic() - started < 60  # dripping, a megabyte takes hours


def test_a_judge_may_be_asked_where_an_event_loop_runs(server):
    async def cell_of_a_notebook():
        return judge(server, ["whole"])

    assert asyncio.run(cell_of_a_notebook()) == ({"whole": 1.0}, 0)


@pytest.mark.parametrize("usage", [None, [], {"completion_tokens": "9"}])
def test_a_reply_without_a_count_of_its_tokens_is_whole(usage):
    reply = {"choices": [{"message": {"content": "7", "reasoning": None}}], "usage": usage}
    assert read_reply(json.dumps(reply).encode()).tokens is None
