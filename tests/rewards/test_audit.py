"""`python -m rewards`: the same verdicts outside training, and what a recipe's rewards would pay to a cheat."""

import json
import sys

import pytest

from rewards import build_rewards
from rewards.audit import EXAMPLES, audit_rewards
from tests.support.commands import answered, run


@pytest.mark.parametrize("name", EXAMPLES)
def test_no_verdict_pays_a_wrong_or_malformed_completion(name):
    entries = [name, {"name": "format", "weight": 0.2}]
    cases = audit_rewards(*build_rewards(entries), [name, "format"])
    assert [(case.name, case.problem) for case in cases if case.problem] == []
    assert cases[0].total == 1.2
    assert all(case.scores[0] == 0.0 for case in cases[1:])


def test_every_reward_together_still_pays_the_ideal_trace_in_full():
    lengths = {"max_tokens": 100, "cache_tokens": 20}
    entries = [{"name": "accuracy"}, {"name": "format", "graded": True}, {"name": "overlong", **lengths}, {"name": "tag_count"},
               {"name": "cosine", "max_tokens": 100}, {"name": "length_group"}, {"name": "repetition"}, {"name": "language"},
               {"name": "reasoning_steps"}]  # fmt: skip
    cases = audit_rewards(*build_rewards(entries), [entry["name"] for entry in entries])
    assert (cases[0].total, cases[0].problem) == (6.0, "")  # penalties are 0 at best


def near(completions, answer, **columns):
    """Partial credit for an answer near the gold, as in unsloth's notebooks."""
    texts = [
        completion[-1]["content"].partition("<answer>")[2].partition("</answer>")[0]
        for completion in completions
    ]
    numbers = [float(text) if text.replace(".", "").isdecimal() else float("inf") for text in texts]
    gaps = [abs(number - float(gold)) for number, gold in zip(numbers, answer, strict=True)]
    return [1.0 if gap == 0 else 0.5 if gap < 5 else 0.0 for gap in gaps]


@pytest.mark.parametrize(
    ("entries", "case", "problem"),
    [
        (
            ["tests.rewards.test_audit:near", "format"],
            "wrong: near miss: 42.0001",
            "a wrong answer is paid by tests.rewards.test_audit:near",
        ),
        (["tests.rewards.test_audit:near"], "trailing text", "earns as much as the ideal trace"),
        (
            [{"name": "reasoning_gym", "strict": False}],
            "wrong: near miss: 142 for 42",
            "a wrong answer is paid by reasoning_gym",
        ),
        (["format"], "ideal", "no reward tells it from a wrong answer"),
        (
            ["trl.rewards:think_format_reward"],
            "empty think block",
            "earns as much as the ideal trace",
        ),
        (
            [{"name": "language", "language": "zh"}, "countdown", "choice"],
            "ideal",
            "earns 2 of 3",
        ),  # two kinds of gold
    ],
)
def test_the_audit_finds_what_other_systems_pay(entries, case, problem):
    names = [entry if isinstance(entry, str) else entry["name"] for entry in entries]
    assert problem in next(
        made.problem for made in audit_rewards(*build_rewards(entries), names) if made.name == case
    )


def test_the_audit_of_a_recipe_that_pays_a_wrong_answer_fails(tmp_path):
    (tmp_path / "grpo.yaml").write_text(
        "rewards: [{name: reasoning_gym, strict: false}, {name: format, weight: 0.2}]\n"
    )
    done = run(sys.executable, "-m", "rewards", "audit", "--config", tmp_path / "grpo.yaml")
    assert done.returncode == 1
    assert "<-- a wrong answer is paid by reasoning_gym" in done.stdout


def test_score_gives_the_verdicts_of_training_one_line_per_row(tmp_path):
    rows = [
        {"completion": answered("161"), "answer": "161", "prompt": "a"},
        {"completion": answered("160"), "answer": "161", "prompt": "a", "other": 1},
        {"completion": [{"role": "assistant", "content": "161"}], "answer": "161", "prompt": "a"},
        {
            "completion": answered("\u2028x"),
            "answer": "~",
            "prompt": "b",
        },  # a line separator inside a row, an unreadable gold
    ]
    file = tmp_path / "rows.jsonl"
    file.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows) + "\n\n")
    base = "recipes/arithmetic/models/base"
    words = [
        "--reward",
        "accuracy,timeout_seconds=2",
        "--reward",
        "format",
        "--reward",
        "overlong,max_tokens=10,cache_tokens=10",
    ]
    done = run(sys.executable, "-m", "rewards", "score", *words, "--tokenizer", base, file)
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["row"] for line in lines] == [0, 1, 2, 3]
    assert [line["rewards"]["accuracy"] for line in lines] == [1.0, 0.0, 0.0, None]
    assert [line["rewards"]["format"] for line in lines] == [1.0, 1.0, 0.0, 1.0]
    assert [line["rewards"]["overlong"] for line in lines][:3] == pytest.approx(
        [-0.8, -0.8, -0.3]
    )  # tags are single tokens
    assert "accuracy: mean 0.333  none 0.25  failed 0  timed_out 0" in done.stderr


@pytest.mark.parametrize(
    ("words", "rows", "message"),
    [
        (["--reward", "acuracy"], '{"completion": "x"}', "did you mean 'accuracy'?"),
        (["--reward", "accuracy,x"], '{"completion": "x"}', "'x' is not key=value"),
        (["--reward", "accuracy"], '{"answer": "x"}', "line 1: has no `completion`"),
        (["--reward", "accuracy"], '{"completion": "x"}\n{', "line 2: is not JSON"),
        (["--reward", "accuracy"], "", "holds no rows"),
        (
            ["--reward", "overlong,max_tokens=2,cache_tokens=1"],
            '{"completion": "x"}',
            "completion_ids",
        ),
    ],
)
def test_a_mistake_with_score_ends_in_one_line(words, rows, message, tmp_path):
    (tmp_path / "rows.jsonl").write_text(rows)
    done = run(sys.executable, "-m", "rewards", "score", *words, tmp_path / "rows.jsonl")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert message in done.stderr
