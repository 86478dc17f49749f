"""The picture of a run is made from its rollouts and scores."""

import json

import pytest

from recipes.core.errors import UserError
from recipes.tools import curves


def write_run(folder):
    rollouts = []
    for step in range(3):
        rewards = {"accuracy": step / 2, "format": None if step == 0 else 1.0}
        rollouts.append({"step": step, "rewards": rewards})
    (folder / "rollouts").mkdir()
    lines = "".join(json.dumps(row) + "\n" for row in rollouts)
    (folder / "rollouts/train.jsonl").write_text(lines)
    models = {"base": {"accuracy": 0.1, "ci95": [0.05, 0.15]}}
    (folder / "scores.json").write_text(json.dumps({"held_out": {"models": models}}))


def test_a_png_comes_out_of_rollouts_and_scores(tmp_path, monkeypatch):
    write_run(tmp_path)
    output = tmp_path / "images/demo.png"
    words = ["curves", "--run_dir", str(tmp_path), "--output", str(output)]
    monkeypatch.setattr("sys.argv", words)
    curves.main()
    assert output.read_bytes().startswith(b"\x89PNG") and output.stat().st_size > 5_000


def test_a_reward_that_is_none_is_left_out_of_the_mean(tmp_path):
    write_run(tmp_path)
    means = curves.read_curves(tmp_path / "rollouts/train.jsonl")
    assert means == {"accuracy": {0: 0.0, 1: 0.5, 2: 1.0}, "format": {1: 1.0, 2: 1.0}}


def test_without_a_run_the_message_says_what_to_run(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.argv", ["curves", "--run_dir", str(tmp_path)])
    with pytest.raises(UserError, match="make demo RECIPE=arithmetic"):
        curves.main()


def test_the_bold_line_is_the_mean_of_the_last_steps():
    assert curves.running_mean([0.0, 1.0, 2.0, 3.0], window=2) == [0.0, 0.5, 1.5, 2.5]


def test_labels_of_lines_that_end_close_together_are_moved_apart():
    moved = curves.spread({"accuracy": 0.95, "format": 1.0, "language": 0.5}, gap=0.1)
    assert moved == pytest.approx({"format": 1.0, "accuracy": 0.9, "language": 0.5})
