"""Stages run from another command: what is run again, what is refused, and what it cost."""

import json
import os
import subprocess

import pytest

from recipes.core.errors import UserError
from recipes.core.paths import ROOT
from recipes.tools import stage_runner
from recipes.tools.stage_runner import (
    Cost,
    recipe_folder,
    run_stage_command,
    sampling_cost,
    share_cores,
    training_cost,
)


@pytest.fixture
def started(monkeypatch):
    """The commands of the stages that were started; none of them does anything."""
    commands = []

    def start(words, **options):
        commands.append(words)
        return subprocess.CompletedProcess(words, 0)

    monkeypatch.setattr(stage_runner.subprocess, "run", start)
    return commands


@pytest.fixture
def recipe(tmp_path):
    folder = tmp_path / "recipe"
    folder.mkdir()
    (folder / "sft.yaml").write_text("learning_rate: 1.0e-3\n")
    return folder


def test_a_finished_stage_is_not_run_again(started, recipe, tmp_path):
    out = tmp_path / "out"
    done = out / "student/manifest.json"
    run_stage_command("sft", recipe, out, "--seed", 1, done=done)
    yaml = str(recipe / "sft.yaml")
    assert started == [["./launch.sh", "sft", yaml, "--output_dir", str(out), "--seed", "1"]]

    # Without a finished manifest it is run again, with one it is not.
    run_stage_command("sft", recipe, out, "--seed", 1, done=done)
    assert len(started) == 2
    done.parent.mkdir()
    done.write_text(json.dumps({"status": "finished"}))
    run_stage_command("sft", recipe, out, "--seed", 1, done=done)
    assert len(started) == 2


@pytest.mark.parametrize("change", ["key", "yaml", "file"])
def test_an_artefact_of_another_request_is_refused(started, recipe, tmp_path, change):
    out = tmp_path / "out"
    traces = tmp_path / "traces.jsonl"
    traces.write_text("{}\n")
    done = out / "student/manifest.json"
    keys = ["--traces", traces]
    run_stage_command("sft", recipe, out, *keys, done=done)
    done.parent.mkdir()
    done.write_text(json.dumps({"status": "finished"}))

    if change == "key":
        keys += ["--seed", 2]
    elif change == "yaml":
        (recipe / "sft.yaml").write_text("learning_rate: 2.0e-3\n")
    else:
        traces.write_text("{}\n{}\n")
    with pytest.raises(UserError, match="exists, but from another command, YAML or file"):
        run_stage_command("sft", recipe, out, *keys, done=done)


def test_a_recipe_is_a_name_or_a_path(recipe):
    assert recipe_folder("arithmetic") == ROOT / "recipes/arithmetic"
    assert recipe_folder(str(recipe)) == recipe
    with pytest.raises(UserError, match="there is no recipe 'arithmetik'"):
        recipe_folder("arithmetik")


def test_costs_add_up():
    assert Cost(1.5, 10) + Cost(2.0, 5) == Cost(3.5, 15)


def test_training_costs_its_seconds_and_the_highest_token_count_of_its_logs(tmp_path):
    logs = [{"num_tokens": 10.0}, {"eval_num_tokens": 30.0}, {"train_runtime": 2.5}]
    (tmp_path / "trainer_state.json").write_text(json.dumps({"log_history": logs}))
    assert training_cost(tmp_path) == Cost(2.5, 30)


def test_sampling_costs_the_seconds_of_all_completions(tmp_path):
    manifest = tmp_path / "generations.manifest.json"
    stats = {"completions": 8, "seconds_per_completion": 0.5, "tokens": 100}
    manifest.write_text(json.dumps({"sampling": stats}))
    assert sampling_cost(manifest) == Cost(4.0, 100)


@pytest.mark.parametrize(("jobs", "threads"), [(1, "7"), (2, "2"), (9, "1")])
def test_stages_side_by_side_share_the_cores(monkeypatch, jobs, threads):
    monkeypatch.setattr(stage_runner.os, "cpu_count", lambda: 4)
    monkeypatch.setenv("OMP_NUM_THREADS", "7")  # kept for a stage by itself
    share_cores(jobs)
    assert os.environ["OMP_NUM_THREADS"] == threads
