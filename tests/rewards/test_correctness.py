"""The correctness rewards other than `accuracy` and `code`: what they pay and refuse to pay."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import pytest
import torch

from rewards import RewardError, build_rewards
from rewards.correctness.choice import Choice
from rewards.correctness.countdown import Countdown
from rewards.correctness.exact import Exact
from rewards.correctness.reasoning_gym import ReasoningGym
from tests.support.commands import ROOT, answered, free_port


@pytest.mark.parametrize(
    ("answer", "score"),
    [
        ("(44-19)*35", 1.0),  # each number once
        ("35 * (44 - 19)", 1.0),
        ("44-19*35", 0.0),  # another value
        ("(44-19)*35+0", 0.0),  # a number that is not given
        ("(44-19)*(35+44-44)", 0.0),  # a number used too often
        ("875", 0.0),  # the target is not an expression of the numbers
        ("(44-19)*35=875", 0.0),  # an equation
        ("44**19**35", 0.0),  # TinyZero's eval hangs on it
        ("(44-19)*35/(35-35)", 0.0),  # division by zero
        ("(44-19)*35.0", 0.0),  # not a whole number
        ("44//19", 0.0),  # another operator
        ("-19+44", 0.0),  # a sign is no operator between numbers
        ("__import__('os')", 0.0),  # code
        ("(" * 5000 + "44", 0.0),  # deep nesting
        ("((44-19)*35", 0.0),  # an open bracket
        (r"\boxed{(44-19)*35}", 1.0),  # a box
        (r"$\left(44-19\right)\times 35$", 1.0),  # LaTeX's signs
        ("(44\u221219)\u00d735", 1.0),  # those of typography
        (r"(44-19)\times 35 = 875", 0.0),
    ],
)
def test_countdown_pays_only_expressions_of_the_given_numbers_that_reach_the_target(answer, score):
    assert Countdown()(completion=answered(answer), answer="875", nums=[44, 19, 35]) == score


@pytest.mark.parametrize(
    ("answer", "target", "numbers", "score"),
    [
        ("1.5*4", "6", [1, 5, 4], 0.0),  # digits of 1.5 are not 1 and 5; TinyZero pays it
        ("9//2+3", "7", [9, 2, 3], 0.0),  # floor division; TinyZero pays it, too
        ("1/3*3", "1", [1, 3, 3], 1.0),  # exact rationals
        ("1+2", "3", "[1, 2]", 1.0),  # numbers as JSON
        ("1+2", "three", [1, 2], None),  # no target
        ("1+2", "1e400000000", [1, 2], None),  # a target of 400 million digits
        ("1+2", "3", None, None),  # no numbers
        ("1+2", "3", [float("inf")], None),
        ("1+2", "3", [1.5, 2], None),
        ("1+2", "3", "[1,", None),  # truncated JSON
    ],
)
def test_countdown_is_exact_and_leaves_out_an_unreadable_task(answer, target, numbers, score):
    reward = Countdown()
    assert reward(completion=answered(answer), answer=target, nums=numbers) == score


@pytest.mark.parametrize(
    ("gold", "answer", "score"),
    [
        ("B", "B", 1.0),
        ("B", "b", 1.0),
        ("B", "(B)", 1.0),
        ("(B)", "B.", 1.0),
        ("B", "B) Paris", 1.0),
        ("B", r"\boxed{B}", 1.0),
        ("B", r"\boxed{\text{B}}", 1.0),
        ("B", "A", 0.0),
        ("A", "A or B", 0.0),  # hedging
        ("A", "A cat", 0.0),  # an article
        ("A", "AB", 0.0),
        ("A", "", 0.0),
        ("A", r"\text{A}", 1.0),
        ("A", "**(A)**", 1.0),
        ("C", "C) Vitamin C", 1.0),
        ("A", "A. or B.", 0.0),
        ("A", "A) no, B", 0.0),
        ("A", "(A) 5 (B) 6", 0.0),
        ("B", "The correct answer is (B).", 1.0),  # a usual sentence
        ("B", "Option B", 1.0),
        ("B", "**B) Paris**", 1.0),  # emphasis
        ("B", "**B.** Paris", 1.0),
        ("B", r"\textbf{(B)}\ 12", 1.0),  # as in the AMC's solutions
        ("B", "B (Paris)", 1.0),
        ("B", "B - Paris", 1.0),
        ("B", "B. E. coli", 1.0),  # initials are no options
        ("B", "B. The U.S. and Canada", 1.0),
        ("B", "B. P(A) = f(x)", 1.0),
        ("B", "B. Paris C. London", 0.0),  # the next option is one
        ("Z", "Z. Zebra", 1.0),
        ("B", "B. C?", 0.0),  # two letters
        ("B", "b. c.", 0.0),
        ("B", "(b) or (c)", 0.0),
        ("B", "B. Or maybe C", 0.0),
        ("B", "B. not, it is C", 0.0),  # taken back
        ("B", "B is wrong", 0.0),
        ("B", "The answer is not B", 0.0),
        ("Paris", "A", None),  # the gold is not a letter
    ],
)
def test_choice_reads_one_letter(gold, answer, score):
    assert Choice()(completion=answered(answer), answer=gold) == score


def test_exact_compares_nothing_but_texts():
    assert Exact()(completion=answered("New  York\n"), answer="New York") == 1.0
    assert Exact()(completion=answered("new york"), answer="New York") == 0.0
    assert Exact(ignore_case=True)(completion=answered("new york"), answer="New York") == 1.0
    assert Exact()(completion=answered("0.50"), answer="0.5") == 0.0
    assert Exact()(completion="0.5", answer="0.5") == 0.0  # no answer block
    assert Exact()(completion=answered("x"), answer=" ") is None
    assert Exact()(completion=answered("5"), answer=5) == 1.0


def test_reasoning_gym_pays_only_the_full_score_of_the_tasks_verifier():
    import reasoning_gym

    for task in ("chain_sum", "gcd", "leg_counting", "basic_arithmetic"):
        for entry in reasoning_gym.create_dataset(task, size=3, seed=1):
            row = {
                "question": entry["question"],
                "answer": entry["answer"],
                "metadata": entry["metadata"],
            }
            assert ReasoningGym()(completion=answered(entry["answer"]), **row) == 1.0
            assert ReasoningGym()(completion=answered("1" + entry["answer"]), **row) == 0.0
    row = {"answer": "42", "metadata": json.dumps({"source_dataset": "chain_sum"})}
    # reasoning-gym itself pays part of the score.
    assert ReasoningGym(strict=False)(completion=answered("142"), **row) == pytest.approx(2 / 3)
    assert ReasoningGym()(completion=answered("142"), **row) == 0.0
    assert ReasoningGym()(completion=answered("42"), answer="42") is None  # no task
    assert ReasoningGym()(completion="42", **row) == 0.0


def test_a_verifier_that_raises_or_prints_neither_stops_the_run_nor_reaches_stdout(capfd):
    import reasoning_gym

    answers = {
        "prime_factorization": "no idea",  # int() raises
        "tower_of_hanoi": "Move disk 1 from Peg 3 to Peg 11",  # printed
    }
    for task, wrong in answers.items():
        entry = reasoning_gym.create_dataset(task, size=1, seed=1)[0]
        scores = [
            ReasoningGym()(completion=answered(answer), **entry)
            for answer in (wrong, entry["answer"])
        ]
        assert scores == [0.0, 1.0]
    assert capfd.readouterr().out == ""
    # A row without what its task needs is not the model's mistake.
    move = "Move disk 1 from Peg 1 to Peg 2"
    row = {"answer": move, "metadata": {"source_dataset": "tower_of_hanoi"}}
    assert ReasoningGym()(completion=answered(move), **row) is None


@pytest.mark.parametrize("task", ["arc_agi", "rearc"])
def test_verifiers_that_compare_tuples_accept_rows_from_json(task):
    import reasoning_gym

    entry = json.loads(json.dumps(reasoning_gym.create_dataset(task, size=1, seed=1)[0]))
    reward = ReasoningGym(timeout_seconds=60)
    assert reward(completion=answered(entry["answer"]), **entry) == 1.0
    assert reward(completion=answered("1 2\n3 4"), **entry) == 0.0


@pytest.fixture(scope="module")
def reward_model(tmp_path_factory):
    """A reward model folder: the recipe's small base model with a new, random head."""
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    folder = tmp_path_factory.mktemp("reward_model")
    base = ROOT / "recipes/arithmetic/models/base"
    torch.manual_seed(0)
    AutoModelForSequenceClassification.from_pretrained(base, num_labels=1).save_pretrained(folder)
    AutoTokenizer.from_pretrained(base).save_pretrained(folder)
    return folder


def test_model_gives_the_logit_of_prompt_and_completion_for_any_batch_size(reward_model):
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(reward_model)
    model = AutoModelForSequenceClassification.from_pretrained(reward_model).float()
    texts = [answered("1"), answered("1234567"), ""]
    prompt = [{"role": "user", "content": "6*7+0"}]
    expected = []
    for text in texts:
        messages = [*prompt, {"role": "assistant", "content": text}]
        rendered = tokenizer.apply_chat_template(messages, tokenize=False)
        inputs = tokenizer(rendered, return_tensors="pt", add_special_tokens=False)
        expected.append(model(**inputs).logits.item())
    assert len(set(expected)) == 3
    for size in (1, 3):
        entry = {"name": "model", "model_name_or_path": str(reward_model), "batch_size": size}
        (function,), _ = build_rewards([entry])
        scores = function(completions=texts, prompts=[prompt] * 3)
        assert scores == pytest.approx(expected, abs=1e-4)


class Endpoint(BaseHTTPRequestHandler):
    """An OpenAI-compatible server; the answer in the request decides what it replies."""

    requested: ClassVar[list[str]] = []
    replies: ClassVar[dict[str, str]] = {
        "right": "It is.\nScore: 1",
        "shaky": "**Score: 1**",
        "wrong": "It says 'Score: 1'.\nScore: 0",
        "no score": "?",
    }

    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        prompt = request["messages"][0]["content"]
        answer = prompt.split("---\n")[1].split("\n---")[0]
        self.requested.append(answer)
        if answer == "no key":
            self.reply(401, {"error": {"message": "out of order"}})
        elif answer == "down" or (answer == "shaky" and self.requested.count("shaky") == 1):
            self.reply(500, {"error": {"message": "out of order"}})
        else:
            message = {"role": "assistant", "content": self.replies[answer]}
            choice = {"index": 0, "finish_reason": "stop", "message": message}
            completion = {"id": "1", "object": "chat.completion", "created": 0}
            self.reply(200, completion | {"model": request["model"], "choices": [choice]})

    def reply(self, status, body):
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *arguments):
        pass


@pytest.fixture
def endpoint(monkeypatch):
    """The base URL of a running judge."""
    monkeypatch.setenv("MY_KEY", "secret-key")
    monkeypatch.setattr(Endpoint, "requested", [])
    with ThreadingHTTPServer(("127.0.0.1", 0), Endpoint) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/v1"
        server.shutdown()


def judge_at(base_url):
    entry = {"name": "judge", "base_url": base_url, "model": "m", "retries": 1}
    (function,), _ = build_rewards([entry | {"api_key_variable": "MY_KEY"}])
    return function


def test_a_judge_scores_the_answer_and_its_own_failure_is_no_score(endpoint):
    metrics = {}
    expected = {
        "right": 1.0,
        "wrong": 0.0,  # the last score counts, not the quoted one
        "shaky": 1.0,  # fails once, is tried again
        "down": None,  # fails every time
        "no score": None,
    }
    scores = judge_at(endpoint)(
        completions=[*map(answered, expected), "malformed"],
        question=["{answer}?"] * 6,  # braces in the data are data
        answer=["{completion}"] * 6,
        log_metric=metrics.__setitem__,
    )
    assert scores == [*expected.values(), 0.0]
    assert metrics["rewards/judge/failed"] == metrics["rewards/judge/none"] == 2 / 6
    # One retry, as configured.
    assert Endpoint.requested.count("shaky") == Endpoint.requested.count("down") == 2
    assert "malformed" not in Endpoint.requested


def test_a_judge_that_rejects_the_key_stops_the_run_and_the_key_stays_secret(endpoint):
    reward = judge_at(endpoint)
    with pytest.raises(RewardError, match="AuthenticationError") as error:
        reward(completions=[answered("no key")], question=["?"], answer=["1"])
    assert "secret-key" not in str(error.value) + repr(reward)


def test_a_judge_that_cannot_be_reached_gives_no_score():
    reward = judge_at(f"http://127.0.0.1:{free_port()}/v1")
    assert reward(completions=[answered("right")], question=["?"], answer=["1"]) == [None]
