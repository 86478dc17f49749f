"""The rollout log: its rows, and the rows that a resumed run keeps."""

from collections import defaultdict, deque

import pytest

from recipes.core.files import append_jsonl, read_jsonl
from recipes.core.training.rollout_log import (
    GeneratedRows,
    RolloutLog,
    latest_rollouts,
    widen_logs,
)


@pytest.mark.parametrize(
    ("resume_step", "train", "evaluation"),
    [
        (None, [], []),  # from scratch: what is there belongs to another run
        (0, [], [0]),  # an evaluation before the first step is complete
        (2, [0, 1], [0, 2]),  # the rollouts of step 2 will be sampled again
        (9, [0, 1, 2, 3], [0, 2, 4]),
    ],
)
def test_a_resumed_run_keeps_the_rollouts_before_its_checkpoint(
    tmp_path, resume_step, train, evaluation
):
    append_jsonl(tmp_path / "train.jsonl", [{"step": step} for step in range(4)])
    append_jsonl(tmp_path / "eval.jsonl", [{"step": step} for step in (0, 2, 4)])
    RolloutLog(tmp_path, resume_step).drop_after_resume()
    assert [row["step"] for row in read_jsonl(tmp_path / "train.jsonl")] == train
    assert [row["step"] for row in read_jsonl(tmp_path / "eval.jsonl")] == evaluation


def test_a_new_run_has_nothing_to_drop_and_appends_rows_by_mode(tmp_path):
    log = RolloutLog(tmp_path / "rollouts", None)
    log.drop_after_resume()
    assert not (tmp_path / "rollouts").exists()
    log.append("train", [{"step": 0}])
    log.append("eval", [{"step": 1}])
    assert read_jsonl(tmp_path / "rollouts/train.jsonl") == [{"step": 0}]
    assert read_jsonl(tmp_path / "rollouts/eval.jsonl") == [{"step": 1}]


def test_the_latest_rollouts_are_the_last_rows_of_trls_logs():
    logs = {
        "prompt": deque(["old", "1+1=", "1+1="]),
        "completion": deque(["old", "2", [{"role": "assistant", "content": "3"}]]),
        "rewards": {"accuracy": deque([0.5, 1.0, float("nan")])},
        "advantages": deque([0.5, 0.7, -0.7]),
    }
    rows = GeneratedRows(question_ids=["b5e1", None], answers=["2", "2"])
    first, second = latest_rollouts(logs, rows, step=12)
    assert list(first.items()) == [
        ("step", 12),
        ("question_id", "b5e1"),
        ("prompt", "1+1="),
        ("completion", "2"),
        ("answer", "2"),
        ("rewards", {"accuracy": 1.0}),
        ("advantage", 0.7),
    ]
    assert second["completion"] == "3"  # the text of a message
    assert second["rewards"] == {"accuracy": None}  # it could not be scored
    assert second["question_id"] is None


def test_before_the_first_generation_there_are_no_rollouts():
    logs = {"prompt": [], "completion": [], "rewards": {}, "advantages": []}
    assert latest_rollouts(logs, GeneratedRows([], []), step=0) == []


def test_columns_that_are_widened_keep_as_many_rows_as_an_evaluation_batch():
    narrow = {"prompt": deque(maxlen=4), "rewards": defaultdict(lambda: deque(maxlen=4))}
    wide = widen_logs(narrow, rows=16)
    wide["prompt"].extend(range(20))
    wide["rewards"]["accuracy"].extend(range(20))
    assert list(wide["prompt"]) == list(wide["rewards"]["accuracy"]) == list(range(4, 20))
