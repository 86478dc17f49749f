"""An endpoint that fails is retried, then counted; no failure becomes an answer."""

import json

import pytest

from recipes.core.errors import UserError
from recipes.core.files import read_jsonl, replace_jsonl
from recipes.core.generation import (
    Completion,
    EndpointArguments,
    SamplingArguments,
    open_sampler,
)
from tests.generation.fake_endpoint import SLOW_SECONDS, serve_endpoint
from tests.support.commands import ok, stage, stage_here

GENERATE = "recipes/arithmetic/generate.yaml"
EVALUATE = "recipes/arithmetic/evaluate.yaml"
STUDENT_BASE = "recipes/arithmetic/models/student_base"

# Questions by what becomes of their requests.
ANSWERED = ["fine", "once 429", "once 503", "thinks apart"]
TRUNCATED = ["truncated"]
FAILING = ["always 500", "broken JSON", "no choice", "slow"]

# Long for an answer on a busy machine, short for the question that is answered late.
TIMEOUT_SECONDS = SLOW_SECONDS / 2


@pytest.fixture
def endpoint():
    with serve_endpoint() as running:
        yield running


def write_questions(folder, questions):
    file = folder / "questions.jsonl"
    replace_jsonl(file, [{"question": question, "answer": "7"} for question in questions])
    return file


def generate_options(folder, url, questions):
    return [
        *("--output_dir", folder / "out"),
        *("--dataset_name", write_questions(folder, questions)),
        *("--teacher", "endpoint", "--teacher_url", url, "--model_name_or_path", "big-teacher"),
        *(
            "--retries",
            1,
            "--request_timeout_seconds",
            TIMEOUT_SECONDS,
            "--api_key_variable",
            "MY_KEY",
        ),
    ]


def sample(endpoint, questions, **keys):
    """What the sampler makes of each question."""
    arguments = EndpointArguments(retries=1, request_timeout_seconds=TIMEOUT_SECONDS, **keys)
    with open_sampler(f"{endpoint.url}#big-teacher", None, arguments) as sampler:
        rows = []
        for question in questions:
            prompt = [{"role": "user", "content": question}]
            rows.append({"prompt": prompt, "sample_index": 0})
        return sampler.sample(rows, SamplingArguments(), seed=1)


def test_completions_come_in_the_order_of_the_rows_and_failed_requests_are_none(endpoint):
    whole = Completion("<think>so</think><answer>7</answer>", 9, finished=True)
    assert sample(endpoint, ["always 500", "fine", "broken JSON", "once 429", "no choice"]) == [
        None,
        whole,
        None,
        whole,
        None,
    ]


def test_thinking_that_comes_apart_is_put_back_into_its_tags(endpoint):
    assert sample(endpoint, ["thinks apart", "truncated"]) == [
        Completion("<think>6+1</think>\n<answer>It is 7.</answer>", 9, finished=True),
        Completion("<think>6+", 9, finished=False),
    ]


def test_a_refused_key_is_not_tried_again(endpoint):
    with pytest.raises(UserError, match=f"endpoint {endpoint.url}, model 'big-teacher': .*401"):
        sample(endpoint, ["refused"])
    assert endpoint.asked == ["refused"]


def test_a_refused_key_stops_generate_in_one_line(tmp_path, endpoint):
    options = generate_options(tmp_path, endpoint.url, ["refused"])
    with pytest.raises(UserError, match=f"endpoint {endpoint.url}, .*401") as error:
        stage_here("generate", GENERATE, *options)
    assert "\n" not in str(error.value)
    assert read_jsonl(tmp_path / "out/generations.jsonl") == []


def test_an_endpoint_has_no_tokenizer_and_its_first_prompt_is_the_messages(endpoint):
    with open_sampler(f"{endpoint.url}#big", None, EndpointArguments()) as sampler:
        assert sampler.tokenizer is None
        assert sampler.metadata == {"model": f"{endpoint.url}#big", "parameters": None}
        assert sampler.first_prompt([{"prompt": [{"content": "1+1?"}]}]) == [{"content": "1+1?"}]


def test_generate_retries_then_counts_failures_and_never_writes_the_key(
    tmp_path, endpoint, monkeypatch, caplog
):
    monkeypatch.setenv("MY_KEY", "secret-key")
    options = generate_options(tmp_path, endpoint.url, ANSWERED + TRUNCATED + FAILING)
    done = ok(stage("generate", GENERATE, *options))
    assert "4 of 9 requests failed and are left out; run again to retry" in done.stderr
    assert endpoint.asked.count("always 500") == endpoint.asked.count("slow") == 2

    # Failures are in neither file; what is truncated is a sample, but not a trace.
    generations = read_jsonl(tmp_path / "out/generations.jsonl")
    assert [row["question"] for row in generations] == ANSWERED + TRUNCATED
    traces = read_jsonl(tmp_path / "out/traces.jsonl")
    assert [row["question"] for row in traces] == ANSWERED
    assert traces[3]["completion"] == "<think>6+1</think>\n<answer>It is 7.</answer>"
    assert traces[3]["correct"] == 1.0

    # The key reaches the endpoint, and nothing else.
    assert endpoint.keys == {"Bearer secret-key"}
    written = [path.read_text() for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert "secret-key" not in "".join([*written, done.stdout, done.stderr])

    # A second start asks again only for what failed.
    stage_here("generate", GENERATE, *options)
    assert "4 of 4 requests failed" in caplog.text
    assert endpoint.asked.count("fine") == 1
    assert endpoint.asked.count("always 500") == 4
    assert read_jsonl(tmp_path / "out/generations.jsonl") == generations


def test_a_failed_request_is_not_a_wrong_answer_of_an_evaluated_model(tmp_path, endpoint, caplog):
    questions = ["fine", "once 429", "truncated", "always 500", "no choice"]
    options = [
        *("--output_dir", tmp_path, "--retries", 1, "--eval_sets", "[]", "--greedy"),
        *("--dataset_name", write_questions(tmp_path, questions), "--dataset_test_split", "train"),
        *("--models", f"student_base={STUDENT_BASE}", f"big={endpoint.url}#big-teacher"),
    ]
    stage_here("evaluate", EVALUATE, *options)
    assert "2 of 5 requests failed and are left out" in caplog.text
    scores = json.loads((tmp_path / "scores.json").read_text())["held_out"]
    big = scores["models"]["big"]
    assert big["n"] == 3
    assert big["accuracy"] == big["greedy_accuracy"] == pytest.approx(2 / 3)
    assert big["truncated"] == pytest.approx(1 / 3)

    # Models are compared on the questions that both answered.
    assert scores["models"]["student_base"]["n"] == 5
    assert scores["paired"]["big - student_base"]["n"] == 3


def test_an_address_without_the_name_of_a_model_is_refused(tmp_path):
    options = ("--output_dir", tmp_path, "--models", "big=http://localhost:1/v1")
    with pytest.raises(UserError, match="write big=http://localhost:1/v1#model"):
        stage_here("evaluate", EVALUATE, *options)
