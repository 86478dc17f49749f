"""Every reward reads a hostile megabyte in linear time: it runs in the training process."""

import contextlib
import re
import signal
from types import SimpleNamespace

import pytest
import torch
from transformers import AutoTokenizer

from rewards import REWARDS, build_rewards
from rewards.correctness import code, llm_judge, reward_model
from rewards.endpoint import Reply
from rewards.isolation.sandbox_process import Run
from tests.support.commands import ROOT

BASE_MODEL = ROOT / "recipes/arithmetic/models/base"
MEGABYTE = 2**20
# CPU time, so that a busy machine changes nothing. What is linear takes a few seconds for all of
# the attacks, what is quadratic takes half an hour for one.
MAX_CPU_SECONDS = 60

# What is repeated, and what stands at the end: often what makes a pattern fail, and try again from
# every place where it could have begun.
ATTACKS = [
    # Nothing that any pattern asks for, and everything that patterns skip.
    (" ", "x"),
    ("\n", "x"),
    (" \n", "x"),
    ("\t", "\0"),
    ("\r\n", "x"),
    ("\u2028", "x"),
    ("a", "!"),
    ("a ", "!"),
    ("!", "a"),
    ("\\", "x"),
    ("\u4e00", ""),
    ("e\u0301", ""),
    ("\ud800", ""),  # half a character
    # Numbers.
    ("1", "x"),
    ("0", "."),
    ("1,", "x"),
    ("1,000", "x"),
    ("1/", "x"),
    ("1.", "x"),
    ("-", "1"),
    ("9e9", "e"),
    ("1+", ""),
    ("1 ", "x"),
    ("(1)*", ""),
    # Brackets and formulas.
    ("{", "}"),
    ("}", "{"),
    ("(", ")"),
    ("[", "]"),
    ("{}", "{"),
    ("\\{", "}"),
    ("\\boxed{", "7"),
    ("\\boxed{7}", "\\boxed{"),
    ("\\boxed ", "{"),
    ("\\text{", "}"),
    ("\\frac{1}{", "}"),
    ("\\sqrt", "2"),
    ("\\left(", ")"),
    ("\\begin{pmatrix}", "1"),
    ("\\\\[", "]"),
    ("\u221a ", "2"),
    ("$", "7"),
    ("x^", "2"),
    ("<", "7"),
    ("=", "7"),
    ("7=", "7"),
    # Tags, whole and not.
    ("<think>", ""),
    ("</answer>", ""),
    ("<think></think><answer></answer>", ""),
    ("<", "think>"),
    ("</think", ">"),
    # Fences, with and without an end.
    ("```", ""),
    ("```python\n", ""),
    ("```python\nx\n```\n", "```"),
    ("`", "\n"),
    ("~", "`"),
    ("~~~\n", "x"),
    ("   ```", "\n"),
    # Steps, letters and scores.
    ("- ", "x"),
    ("1. ", "x"),
    ("Step ", "x"),
    ("Step 1", "x"),
    ("First", ","),
    ("B", ")"),
    ("B) ", "x"),
    ("B) or ", "x"),
    (", ", "A!x"),
    (", A", "!"),
    ("not ", "7"),
    ("**", "Score: 1x"),
    ("Score:", "x"),
    ("Score: 0.", "x"),
    ("Score: 1\n", "x"),
    ("Score: 1.0", "x"),
    ("{answer}", "{"),
]

# Less for those that read answers as mathematics, and for the tokenizer of a reward model.
SIZES = {"accuracy": 2**10, "choice": 2**12, "model": 2**12}
PARAMETERS = {
    "accuracy": {"timeout_seconds": 0.1},
    "overlong": {"max_tokens": 100, "cache_tokens": 20},
    "cosine": {"max_tokens": 100, "correctness_reward": "exact"},
    "length_group": {"correctness_reward": "exact"},
    "model": {"model_name_or_path": str(BASE_MODEL)},
    "judge": {"base_url": "http://localhost/v1", "model": "m"},
}
ROW = {
    "answer": "7",
    "question": "?",
    "prompts": "?",
    "nums": [3, 4],
    "tests": [{"input": "", "output": "7"}],
    "completion_ids": [1, 2, 3],
    "metadata": {"source_dataset": "chain_sum"},
}


@pytest.fixture(autouse=True)
def only_the_training_process(monkeypatch):
    """What runs elsewhere has limits of its own: programs, the judge, the reward model."""
    tokenizer = AutoTokenizer.from_pretrained(BASE_MODEL)
    monkeypatch.setattr(code, "run_program", lambda program, stdin, *rest: Run("ok", stdin, ""))
    monkeypatch.setattr(code, "ThreadPoolExecutor", InThisThread)
    monkeypatch.setattr(llm_judge.Endpoint, "complete", echo)
    monkeypatch.setattr(reward_model, "_load", lambda *name: (NoModel(), tokenizer))


def echo(endpoint, requests):
    """Replies with what was to be judged."""
    texts = [request["messages"][0]["content"] for request in requests]
    return [Reply(text, "", "stop", None) for text in texts]


class InThisThread(contextlib.nullcontext):
    """For a pool of threads: signals reach the main thread alone."""

    def __enter__(self):
        return SimpleNamespace(map=map)


class NoModel:
    device = "cpu"

    def __call__(self, input_ids, **inputs):
        return SimpleNamespace(logits=torch.zeros(len(input_ids), 1))


@contextlib.contextmanager
def cpu_limit(seconds):
    """Raises `TimeoutError` in the block after `seconds` of CPU time; `re` looks for signals."""

    def stop(*signal_and_frame):
        raise TimeoutError(f"more than {seconds} seconds of CPU time")

    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


@pytest.mark.parametrize("name", REWARDS)
def test_a_reward_reads_a_megabyte_in_linear_time(name):
    (function,), _ = build_rewards([{"name": name, **PARAMETERS.get(name, {})}])
    size = SIZES.get(name, MEGABYTE) // 2
    texts = [part * (size // len(part)) + end for part, end in ATTACKS]
    # Well-formed, so that everything is read, and as it is.
    completions = [f"<think>x\n{text}</think><answer>{text}</answer>" for text in texts] + texts
    columns = {column: [value] * len(completions) for column, value in ROW.items()}
    with cpu_limit(MAX_CPU_SECONDS):
        scores = function(completions=completions, **columns)
    assert len(scores) == len(completions)


def test_the_limit_stops_a_pattern():
    with pytest.raises(TimeoutError), cpu_limit(0.2):
        re.search(r"(?:\s|y)+x", " " * 2**17)
