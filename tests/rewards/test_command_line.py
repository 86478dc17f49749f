"""`python -m rewards`: the scores of training, and the audit, on the command line."""

import json
import sys

import pytest

from rewards.__main__ import main, parse_reward_option
from tests.support.commands import answered, run


def test_score_gives_the_scores_of_training_one_line_per_row(tmp_path):
    rows = [
        {"completion": answered("161"), "answer": "161", "prompt": "a"},
        {"completion": answered("160"), "answer": "161", "prompt": "a", "other": 1},
        {"completion": [{"role": "assistant", "content": "161"}], "answer": "161", "prompt": "a"},
        # A line separator inside a row, and a gold answer that cannot be read.
        {"completion": answered("\u2028x"), "answer": "~", "prompt": "b"},
    ]
    file = tmp_path / "rows.jsonl"
    file.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows) + "\n\n")
    options = [
        *("--reward", "accuracy,timeout_seconds=2"),
        *("--reward", "format"),
        *("--reward", "overlong,max_tokens=10,cache_tokens=10"),
        *("--tokenizer", "recipes/arithmetic/models/base"),
    ]
    done = run(sys.executable, "-m", "rewards", "score", *options, file)
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["row"] for line in lines] == [0, 1, 2, 3]
    assert [line["rewards"]["accuracy"] for line in lines] == [1.0, 0.0, 0.0, None]
    assert [line["rewards"]["format"] for line in lines] == [1.0, 1.0, 0.0, 1.0]
    overlong = [line["rewards"]["overlong"] for line in lines]
    assert overlong[:3] == pytest.approx([-0.8, -0.8, -0.3])  # tags are single tokens
    assert "accuracy: mean 0.333  none 0.25  failed 0  timed_out 0" in done.stderr


@pytest.mark.parametrize(
    ("options", "rows", "message"),
    [
        (["--reward", "acuracy"], '{"completion": "x"}', "did you mean 'accuracy'?"),
        (["--reward", "accuracy,x"], '{"completion": "x"}', "'x' is not key=value"),
        (["--reward", "accuracy"], '{"answer": "x"}', "line 1: has no `completion`"),
        (["--reward", "accuracy"], '{"completion": "x"}\n{', "line 2: is not JSON"),
        (["--reward", "accuracy"], "", "holds no rows"),
        ([], '{"completion": "x"}', "no reward is given"),
        (
            ["--reward", "overlong,max_tokens=2,cache_tokens=1"],
            '{"completion": "x"}',
            "completion_ids",  # without --tokenizer
        ),
    ],
)
def test_a_mistake_with_score_ends_in_one_line(options, rows, message, tmp_path, capsys):
    (tmp_path / "rows.jsonl").write_text(rows)
    assert main(["score", *options, str(tmp_path / "rows.jsonl")]) == 2
    stderr = capsys.readouterr().err
    assert stderr.count("\n") == 1 and message in stderr


def test_the_audit_of_rewards_that_pay_only_right_answers_succeeds(capsys):
    assert main(["audit", "--reward", "accuracy", "--reward", "format,weight=0.2"]) == 0
    header, ideal, *_, summary = capsys.readouterr().out.splitlines()
    assert header.split() == ["case", "accuracy", "format", "total"]
    assert ideal.split() == ["ideal", "1", "1", "1.2"]
    assert summary.endswith(" cases, 0 with a problem")


def test_the_audit_of_a_reward_that_pays_a_wrong_answer_fails(capsys):
    assert main(["audit", "--reward", "reasoning_gym,strict=false"]) == 1
    assert "<-- a wrong answer is paid by reasoning_gym" in capsys.readouterr().out


def test_the_old_option_for_a_recipe_names_the_command_that_took_its_place(capsys):
    assert main(["audit", "--config", "my/grpo.yaml"]) == 2
    stderr = capsys.readouterr().err
    assert stderr.count("\n") == 1
    assert "python -m recipes.tools.check --config my/grpo.yaml" in stderr


def test_a_parameter_in_scientific_notation_is_a_number():
    entry = parse_reward_option("overlong,weight=1e-1,max_tokens=512,name_of=-a")
    assert entry == {"name": "overlong", "weight": 0.1, "max_tokens": 512, "name_of": "-a"}
