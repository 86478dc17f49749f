"""`python -m recipes.tools.compare`: every arm of a seed, at equal compute."""

import json
import sys

import pytest

from recipes.tools import compare
from tests.support.commands import ok, run
from tests.tools.quick_recipe import make_quick_recipe

COMPARE = (sys.executable, "-m", "recipes.tools.compare")


@pytest.mark.slow
def test_compare_trains_every_arm_measures_its_cost_and_repeats_no_finished_stage(tmp_path):
    recipe = make_quick_recipe(tmp_path)
    out = tmp_path / "out"
    command = (*COMPARE, "--recipe", recipe, "--seeds", 3, "--jobs", 2, "--output_dir", out)
    done = ok(run(*command))
    assert done.stdout == (out / "compare.md").read_text()
    assert (out / "compare.png").stat().st_size > 10_000
    document = json.loads((out / "compare.json").read_text())
    assert document["seeds"] == [3]
    arms = document["arms"]
    expected = ["student_base", "rl_only", "distilled", "distilled_then_rl", "teacher"]
    assert list(arms) == expected

    # RL only gets the seconds of the teacher, the traces and the student, and stops after the step
    # in which they are over.
    assert arms["rl_only"]["seconds"][0] >= arms["distilled"]["seconds"][0]
    assert arms["distilled"]["seconds"][0] > arms["distilled"]["teacher_seconds"][0] > 0
    assert arms["distilled"]["teacher_seconds"] == arms["distilled_then_rl"]["teacher_seconds"]
    assert arms["distilled"]["teacher_tokens"][0] > arms["teacher"]["tokens"][0] > 0
    assert arms["student_base"]["seconds"] == [0]
    assert arms["rl_only"]["teacher_seconds"] == [0]

    # The accuracies are those of the models that the arms trained.
    scores = json.loads((out / "seed3/scores.json").read_text())["held_out"]["models"]
    for name, folder in (("rl_only", "rl_only"), ("distilled_then_rl", "then_rl")):
        assert scores[name]["accuracy"] == arms[name]["accuracy"][0]
        assert (out / f"seed3/{folder}/policy").is_dir()

    again = ok(run(*command))
    assert again.stdout == done.stdout
    assert " in " not in again.stderr.split("compare: wrote")[0]  # no stage was run


def test_a_failing_stage_ends_the_comparison_and_names_its_log(tmp_path):
    recipe = make_quick_recipe(tmp_path)
    (recipe / "grpo.yaml").write_text("lerning_rate: 1\n")
    out = tmp_path / "out"
    done = run(*COMPARE, "--recipe", recipe, "--seeds", 3, "--output_dir", out)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "did you mean `learning_rate`?" in done.stderr
    assert "logs/grpo.txt" in done.stderr


def test_a_machine_without_gpu_runs_one_stage_per_core_and_seed(monkeypatch):
    monkeypatch.setattr(compare.Path, "exists", lambda path: False)
    monkeypatch.setattr(compare.os, "cpu_count", lambda: 4)
    assert compare.default_jobs(seeds=3) == 3
    assert compare.default_jobs(seeds=9) == 4


def test_a_gpu_is_not_shared(monkeypatch):
    monkeypatch.setattr(compare.Path, "exists", lambda path: True)
    assert compare.default_jobs(seeds=3) == 1
