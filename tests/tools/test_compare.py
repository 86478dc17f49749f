"""Commands that run whole stages several times: compare and sweep."""

import json
import sys

import pytest
import yaml

from recipes.core.config.yaml_files import read_yaml
from recipes.core.files import append_jsonl
from recipes.tools.compare import seed_interval
from tests.support.commands import ROOT, ok, run

QUICK = {
    "grpo": {"max_steps": 2, "per_device_train_batch_size": 32, "num_generations": 8},
    "generate": {"max_train_samples": 100, "num_generations": 2},
    "sft": {"max_steps": 2, "logging_steps": 1},
    "evaluate": {"max_eval_samples": 20, "eval_sets": None, "models": ["policy", "student"]},
}


def quick_recipe(folder):
    """arithmetic, two steps a stage."""
    for stage, keys in QUICK.items():
        values = read_yaml(ROOT / f"recipes/arithmetic/{stage}.yaml")
        (folder / f"{stage}.yaml").write_text(yaml.safe_dump(values | keys))
    return folder


@pytest.mark.slow
def test_compare_trains_every_arm_counts_its_seconds_and_does_nothing_twice(tmp_path):
    recipe, out = quick_recipe(tmp_path), tmp_path / "out"
    command = (
        sys.executable,
        "-m",
        "recipes.tools.compare",
        "--recipe",
        recipe,
        "--seeds",
        3,
        "--jobs",
        2,
        "--output_dir",
        out,
    )
    done = ok(run(*command))
    document = json.loads((out / "compare.json").read_text())
    arms = document["arms"]
    assert list(arms) == [
        "student_base",
        "rl_only",
        "distilled",
        "distilled_then_rl",
        "teacher",
    ] and document["seeds"] == [3]
    assert (
        done.stdout == (out / "compare.md").read_text()
        and (out / "compare.png").stat().st_size > 10_000
    )
    # RL alone has the seconds of the teacher, the traces and the student, and stops after the step in which they are over.
    assert (
        arms["rl_only"]["seconds"][0]
        >= arms["distilled"]["seconds"][0]
        > arms["distilled"]["teacher_seconds"][0]
        > 0
    )
    assert arms["distilled"]["teacher_seconds"] == arms["distilled_then_rl"]["teacher_seconds"]
    assert arms["distilled"]["teacher_tokens"][0] > arms["teacher"]["tokens"][0] > 0
    assert (arms["student_base"]["seconds"], arms["rl_only"]["teacher_seconds"]) == ([0], [0])
    for name, folder in (("rl_only", "rl_only"), ("distilled_then_rl", "then_rl")):
        scores = json.loads((out / "seed3/scores.json").read_text())["held_out"]["models"]
        assert (
            scores[name]["accuracy"] == arms[name]["accuracy"][0]
            and (out / f"seed3/{folder}/policy").is_dir()
        )
    again = ok(run(*command))
    assert (
        again.stdout == done.stdout and " in " not in again.stderr.split("compare: wrote")[0]
    )  # no stage was run


def test_a_failing_stage_ends_the_comparison_and_says_where_to_look(tmp_path):
    recipe = quick_recipe(tmp_path)
    (recipe / "grpo.yaml").write_text("lerning_rate: 1\n")
    done = run(
        sys.executable,
        "-m",
        "recipes.tools.compare",
        "--recipe",
        recipe,
        "--seeds",
        3,
        "--output_dir",
        tmp_path / "out",
    )
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert "did you mean `learning_rate`?" in done.stderr and "logs/grpo.txt" in done.stderr


def test_the_interval_over_seeds_is_students():
    assert seed_interval([0.9, 0.92, 0.94]) == pytest.approx(
        [0.92 - 4.30 * 0.02 / 3**0.5, 0.92 + 4.30 * 0.02 / 3**0.5]
    )
    assert seed_interval([0.9]) is None
    assert seed_interval([0.0, 1.0]) == [0.0, 1.0]


@pytest.mark.slow
def test_sweep_trains_each_student_on_the_traces_and_sets_what_it_knows_against_what_it_costs(
    tmp_path,
):
    recipe, out = quick_recipe(tmp_path), tmp_path / "out"
    traces = [
        {
            "prompt": [{"role": "user", "content": f"{n}*3+1"}],
            "completion": f"<think>{n}</think><answer>{3 * n + 1}</answer>",
        }
        for n in range(10, 90)
    ]
    command = (
        sys.executable,
        "-m",
        "recipes.tools.sweep",
        "--recipe",
        recipe,
        "--output_dir",
        out,
        "--students",
    )
    models = [f"recipes/arithmetic/models/{name}" for name in ("base", "student_base")]
    done = run(*command, *models)
    assert done.returncode == 2 and "run `make generate" in done.stderr
    append_jsonl(out / "traces.jsonl", traces)
    done = ok(run(*command, *models))
    lines = done.stdout.splitlines()
    assert [line.split()[1] for line in lines[2:]] == ["student_base", "base"]  # the smallest first
    assert "0.114 M" in lines[2] and "1.8 MB" in lines[3] and (out / "sweep/sweep.png").is_file()
    done = run(*command, "nowhere/at/all")
    assert done.returncode == 2 and "there is no folder" in done.stderr
