"""A process that dies, hangs or meets NaN ends the run, and the message says which and where."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from recipes.core.files import read_jsonl
from recipes.core.runtime.stopping import LOST, STOPPED
from recipes.core.runtime.watchdog import SILENCE_LIMIT, Heartbeat, Watchdog
from tests.support.commands import ROOT, ok, run, stage

GRPO, SFT = "recipes/arithmetic/grpo.yaml", "recipes/arithmetic/sft.yaml"
SMALL = ("--per_device_train_batch_size", 8, "--num_generations", 8)
TWO = ("--accelerate", "ddp", "--num-processes", 2)


def start(*words: object) -> subprocess.Popen:
    command = [str(word) for word in words]
    return subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def wait_for_lines(file: Path, lines: int, process: subprocess.Popen) -> None:
    deadline = time.time() + 120
    while time.time() < deadline and process.poll() is None:
        if file.exists() and file.read_bytes().count(b"\n") >= lines:
            return
        time.sleep(0.02)
    raise AssertionError(process.communicate(timeout=60)[0][-3000:])


def rank(number: int, process: subprocess.Popen) -> psutil.Process:
    """The process of this rank below the launcher."""
    for one in psutil.Process(process.pid).children(recursive=True):
        if one.environ().get("RANK") == str(number) and "recipes/grpo.py" in " ".join(
            one.cmdline()
        ):
            return one
    raise AssertionError(f"no rank {number}")


# Killed, the others' connections break at once. Stopped, it says nothing for SILENCE seconds.
@pytest.mark.parametrize(
    ("how", "seconds"),
    [
        (signal.SIGKILL, 40),
        pytest.param(signal.SIGSTOP, SILENCE_LIMIT + 40, marks=pytest.mark.slow),
    ],
)
def test_a_rank_that_dies_or_stops_takes_the_run_down_with_its_rank_and_what_it_did_last(
    tmp_path, how, seconds
):
    process = start(
        "bash",
        "launch.sh",
        "grpo",
        GRPO,
        *TWO,
        "--output_dir",
        tmp_path,
        "--max_steps",
        500,
        *SMALL,
    )
    wait_for_lines(tmp_path / "rollouts/train.jsonl", 3 * 16, process)
    victim = rank(1, process)
    started = time.time()
    victim.send_signal(how)
    said = process.communicate(timeout=seconds + 60)[0]
    assert time.time() - started < seconds
    assert process.returncode == LOST, said[-3000:]
    assert "rank 1 (step " in said and not victim.is_running()


def test_a_rank_that_hangs_takes_the_run_down_within_ddp_timeout(tmp_path):
    rewards = '["accuracy", "tests.support.user_rewards:hangs"]'
    started = time.time()
    done = run(
        "bash",
        "launch.sh",
        "grpo",
        GRPO,
        *TWO,
        "--output_dir",
        tmp_path,
        *SMALL,
        "--rewards",
        rewards,
        "--ddp_timeout",
        20,
    )
    assert done.returncode == LOST and time.time() - started < 120
    assert (
        "rank 1 hangs: step 0: scoring with hangs, for 2" in done.stderr
        and "(the limit is 20)" in done.stderr
    )


def test_sigterm_saves_the_step_under_way_and_exits_with_its_own_code(tmp_path):
    keys = ("--output_dir", tmp_path, "--max_steps", 500, *SMALL)
    process = start(sys.executable, "recipes/grpo.py", "--config", GRPO, *keys)
    wait_for_lines(tmp_path / "rollouts/train.jsonl", 2 * 8, process)
    process.send_signal(signal.SIGTERM)
    said = process.communicate(timeout=60)[0]
    assert process.returncode == STOPPED, said[-3000:]
    (checkpoint,) = (tmp_path / "policy").glob("checkpoint-*")
    assert (
        f"stopped: {checkpoint} is saved; the same command resumes the run" in said
        and "Traceback" not in said
    )
    assert json.loads((tmp_path / "policy/manifest.json").read_text())["status"] == "stopped"
    step = int(checkpoint.name.partition("-")[2])
    done = ok(stage("grpo", GRPO, *keys, "--max_steps", step + 1))
    assert f"resuming from {checkpoint}" in done.stderr
    assert {row["step"] for row in read_jsonl(tmp_path / "rollouts/train.jsonl")} == set(
        range(step + 1)
    )


def test_sigterm_before_the_first_step_is_no_traceback(tmp_path, traces):
    words = ("--config", SFT, "--output_dir", tmp_path, "--traces", traces)
    process = start(sys.executable, "recipes/sft.py", *words)
    deadline = time.time() + 60
    while b"torch" not in Path(f"/proc/{process.pid}/maps").read_bytes() and time.time() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    said = process.communicate(timeout=60)[0]
    # The signal itself may end Python before the stage has begun.
    assert process.returncode in (STOPPED, -signal.SIGTERM) and "Traceback" not in said, said


@pytest.mark.parametrize("name", ["sft", "grpo"])
def test_numbers_that_are_none_stop_the_run_and_leave_the_batch(tmp_path, traces, name):
    config, extra = (
        (SFT, ("--traces", traces, "--warmup_steps", 0)) if name == "sft" else (GRPO, SMALL)
    )
    keys = (
        "--output_dir",
        tmp_path,
        "--learning_rate",
        1e30,
        "--max_steps",
        4,
        "--save_steps",
        1,
        *extra,
    )
    done = stage(name, config, *keys)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    (file,) = (tmp_path / ("student" if name == "sft" else "policy")).glob("not_finite-*-0.json")
    assert f"the batch is in {file}. Lower learning_rate" in done.stderr
    left = json.loads(file.read_text())
    assert f"step {left['step']}: {left['what']}" in done.stderr
    if name == "sft":
        assert any("<think>" in text for text in left["batch"]["input_ids"])
    else:
        assert left["prompts"] or left["batch"]["completion_ids"]
        assert {"prompt", "completion", "rewards", "advantage", "step"} <= set(left["rollouts"][0])


def test_a_run_that_goes_on_is_the_same_run_for_wandb(tmp_path):
    keys = ("--output_dir", tmp_path, *SMALL, "--report_to", "wandb", "--save_steps", 1)
    offline = {"WANDB_MODE": "offline", "WANDB_DIR": str(tmp_path), "WANDB_SILENT": "true"}
    for steps in (1, 2):
        ok(
            run(
                sys.executable,
                "recipes/grpo.py",
                "--config",
                GRPO,
                *keys,
                "--max_steps",
                steps,
                **offline,
            )
        )
    first, second = sorted((tmp_path / "wandb").glob("offline-run-*"))
    identity = json.loads((tmp_path / "policy/manifest.json").read_text())["wandb_run_id"]
    assert first.name.endswith(f"-{identity}") and second.name.endswith(f"-{identity}")
    assert "WANDB_API_KEY" not in os.environ


def heartbeat(progress, age, waiting=False, exit_reason=None, received=0.0):
    """A heartbeat, and when it was received, in seconds from now."""
    activity = f"work {progress}"
    return Heartbeat(0.0, progress, activity, age, waiting, exit_reason), received


SILENT = -SILENCE_LIMIT - 1


@pytest.mark.parametrize(
    ("others", "reason"),
    [
        ({1: heartbeat(5, 1)}, None),  # it works
        ({1: heartbeat(5, 700, waiting=True)}, "rank 0 hangs: work 5, for 7"),  # it waits for us
        # None is known to wait, so that any of those who have come least far may hang.
        (
            {1: heartbeat(5, 700), 2: heartbeat(9, 700)},
            "one of the ranks 0, 1 hangs: work 5",
        ),
        ({1: heartbeat(4, 700)}, "rank 1 hangs: work 4, for 700 s .the limit is 600."),
        ({1: heartbeat(4, 700), 2: heartbeat(5, 3)}, None),  # someone makes progress
        ({1: heartbeat(4, 3, received=SILENT)}, "no heartbeat for 60 s from rank 1 .work 4."),
        ({1: heartbeat(4, 3, received=SILENT, exit_reason="")}, None),  # it has done its part
        (
            {1: heartbeat(4, 3, received=-11, exit_reason="no such file")},
            "rank 1 has ended: no such file",
        ),
        # This process may still fail by itself, and report more.
        ({1: heartbeat(4, 3, received=-5, exit_reason="no such file")}, None),
    ],
)
def test_the_right_rank_is_missed_or_blamed(others, reason):
    watchdog = Watchdog(0, 1, lambda reason: None)
    watchdog.processes = 1 + len(others)
    watchdog.limit = 600
    watchdog.progress = 5
    watchdog.activity = "work 5"
    watchdog.activity_started = time.monotonic() - 701
    first, received = others[1]
    if received or first.exit_reason is not None:  # then this process has just begun something
        watchdog.activity_started = time.monotonic()
    for rank, (other, received) in others.items():
        watchdog.heartbeats[rank] = other
        watchdog.received[rank] = time.monotonic() + received
    found = watchdog._diagnose()
    if reason is None:
        assert found is None
    else:
        assert re.match(reason, found), found


def test_what_the_main_process_does_alone_does_not_count_as_progress():
    watchdog = Watchdog(0, 1, lambda reason: None)
    watchdog.report("step 3: scoring with accuracy")
    watchdog.report("hashing model.safetensors", alone=True)
    assert (watchdog.progress, watchdog.activity) == (1, "hashing model.safetensors")
