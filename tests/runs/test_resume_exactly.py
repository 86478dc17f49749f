"""A run that is interrupted ends in the same weights, to the last bit, on a CPU."""

import random
import shutil
import signal
import subprocess
import time
from pathlib import Path

import psutil
import pytest

from recipes.core.files import read_jsonl
from tests.support.commands import ROOT, largest_difference, latest, ok, run, weights

GRPO, SFT = "recipes/arithmetic/grpo.yaml", "recipes/arithmetic/sft.yaml"
SMALL = ("--per_device_train_batch_size", 8, "--num_generations", 8)

SFT_KEYS = ("--num_train_epochs", 2, "--per_device_train_batch_size", 8)
REUSE = (
    "--max_steps",
    6,
    "--num_iterations",
    2,
    "--steps_per_generation",
    2,
)  # each generation serves four steps
# Stage, processes, the step after which the run is interrupted, and keys. A step of SFT is 16
# traces, and an epoch about nine steps.
RUNS = {
    "sft, in the second epoch": ("sft", 1, 12, (*SFT_KEYS, "--gradient_accumulation_steps", 2)),
    "sft of two processes, in the second epoch": ("sft", 2, 12, SFT_KEYS),
    "sft by group_by_length": (
        "sft",
        2,
        12,
        (*SFT_KEYS, "--train_sampling_strategy", "group_by_length"),
    ),
    "sft by random": ("sft", 2, 12, (*SFT_KEYS, "--train_sampling_strategy", "random")),
    "grpo with a schedule": (
        "grpo",
        1,
        2,
        (*SMALL, "--max_steps", 4, "--lr_scheduler_type", "cosine"),
    ),
    "grpo, in the second epoch": (
        "grpo",
        1,
        6,
        (*SMALL, "--max_steps", 8, "--max_train_samples", 4),
    ),
    "grpo, completions used in four steps": ("grpo", 1, 3, (*SMALL, *REUSE)),
    "grpo of two processes, the same": ("grpo", 2, 3, (*SMALL, *REUSE)),
}


def command(stage: str, processes: int, out: Path, traces: Path, *keys: object) -> list[str]:
    accelerate = "cpu" if processes == 1 else "ddp"
    config, extra = (SFT, ("--traces", traces)) if stage == "sft" else (GRPO, ())
    words = (
        "--accelerate",
        accelerate,
        "--num-processes",
        processes,
        "--output_dir",
        out,
        "--save_total_limit",
        9,
        *extra,
        *keys,
    )
    return ["bash", "launch.sh", stage, config, *map(str, words)]


USUAL = ("grpo of two processes, the same",)


@pytest.mark.parametrize(
    "name", [name if name in USUAL else pytest.param(name, marks=pytest.mark.slow) for name in RUNS]
)
def test_a_run_that_goes_on_ends_as_if_it_had_never_stopped(tmp_path, traces, name):
    stage, processes, step, keys = RUNS[name]
    words = command(stage, processes, tmp_path, traces, *keys, "--save_steps", step)
    left = tmp_path / ("policy" if stage == "grpo" else "student")
    ok(run(*words))
    whole, rollouts = weights(left), read_jsonl(tmp_path / "rollouts/train.jsonl")
    for path in left.glob("checkpoint-*"):
        if path.name != f"checkpoint-{step}":
            shutil.rmtree(path)
    next(left.glob("*.safetensors")).unlink()
    done = ok(run(*words))
    assert f"resuming from {left}/checkpoint-{step};" in done.stderr
    assert largest_difference(whole, weights(left)) == 0.0
    assert read_jsonl(tmp_path / "rollouts/train.jsonl") == rollouts


@pytest.mark.slow
@pytest.mark.parametrize("name", ["grpo", "sft"])
def test_kill_9_at_ten_random_moments_ends_in_the_same_weights(tmp_path, traces, name):
    keys = (
        (*SMALL, "--max_steps", 30)
        if name == "grpo"
        else ("--max_steps", 30, "--per_device_train_batch_size", 8)
    )
    left, rng = "policy" if name == "grpo" else "student", random.Random(7)
    ok(run(*command(name, 1, tmp_path / "whole", traces, *keys, "--save_steps", 1)))
    words, went_on = command(name, 1, tmp_path / "killed", traces, *keys, "--save_steps", 1), 0
    for _ in range(10):
        before, deadline = latest(tmp_path / "killed" / left), time.time() + 120
        process = subprocess.Popen(
            words, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        while (
            time.time() < deadline
            and process.poll() is None
            and latest(tmp_path / "killed" / left) <= before
        ):
            time.sleep(0.001)
        time.sleep(
            rng.uniform(0, 0.4 if name == "grpo" else 0.04)
        )  # of a step, a part: also while something is saved
        assert process.poll() is None, process.communicate()[1][-3000:]
        for one in [process, *psutil.Process(process.pid).children(recursive=True)]:
            one.send_signal(signal.SIGKILL)
        went_on += "resuming from" in process.communicate()[1]
    done = ok(run(*words))
    assert "resuming from" in done.stderr and went_on >= 8
    assert (
        largest_difference(weights(tmp_path / "whole" / left), weights(tmp_path / "killed" / left))
        == 0.0
    )
    if name == "grpo":
        assert read_jsonl(tmp_path / "killed/rollouts/train.jsonl") == read_jsonl(
            tmp_path / "whole/rollouts/train.jsonl"
        )
