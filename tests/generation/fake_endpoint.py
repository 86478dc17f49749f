"""An OpenAI-compatible endpoint that fails in every way, as each question asks it to."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

# HTTP status by question, of every request or only of the first one.
STATUS = {"always 500": 500, "refused": 401}
FIRST_STATUS = {"once 429": 429, "once 503": 503}

# Replies by question that differ from a whole answer in one message.
MESSAGES = {
    "thinks apart": {"reasoning_content": "6+1", "content": "It is 7."},
    "truncated": {"reasoning_content": "6+", "content": None},  # while it was thinking
}
ANSWER = {"content": "<think>so</think><answer>7</answer>"}
SLOW_SECONDS = 8


@dataclass
class Endpoint:
    """A running endpoint: its address, the questions it was asked, and the keys it was given."""

    url: str = ""
    asked: list[str] = field(default_factory=list)
    keys: set[str] = field(default_factory=set)


@contextmanager
def serve_endpoint() -> Iterator[Endpoint]:
    """Serves an endpoint in a thread until the `with` block ends."""
    endpoint = Endpoint()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            question = body["messages"][-1]["content"]
            is_first = question not in endpoint.asked
            endpoint.asked.append(question)
            endpoint.keys.add(self.headers["Authorization"])
            if question == "slow":
                time.sleep(SLOW_SECONDS)
            self._reply(_status(question, is_first), _data(question, body["model"]))

        def _reply(self, status, data):
            try:
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)
            except OSError:
                pass  # the client has given up

        def log_message(self, *arguments):
            pass

    class Server(ThreadingHTTPServer):
        # A connection that finds the default queue of 5 full is tried again after a second.
        request_queue_size = 64

    with Server(("127.0.0.1", 0), Handler) as server:
        endpoint.url = f"http://127.0.0.1:{server.server_port}/v1"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield endpoint
        server.shutdown()


def _status(question, is_first):
    if is_first and question in FIRST_STATUS:
        return FIRST_STATUS[question]
    return STATUS.get(question, 200)


def _data(question, model):
    if question == "broken JSON":
        return b"<html>"
    message = {"role": "assistant"} | MESSAGES.get(question, ANSWER)
    reason = "length" if question == "truncated" else "stop"
    choices = [{"index": 0, "finish_reason": reason, "message": message}]
    if question == "no choice":
        choices = []
    reply = {
        "id": "1",
        "object": "chat.completion",
        "created": 0,
        "model": model,
        "choices": choices,
        "usage": {"prompt_tokens": 3, "completion_tokens": 9, "total_tokens": 12},
    }
    return json.dumps(reply).encode()
