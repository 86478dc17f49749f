"""A process that dies, hangs or meets NaN ends the run: who, doing what, with which batch. Nothing waits for ever."""

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
from recipes.core.runtime.watchdog import SILENCE_LIMIT, Watchdog
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
        "rank 1 hangs: step 0: judging by hangs, for 2" in done.stderr
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
        f"stopped: {checkpoint} is saved; the same command goes on" in said
        and "Traceback" not in said
    )
    assert json.loads((tmp_path / "policy/manifest.json").read_text())["status"] == "stopped"
    step = int(checkpoint.name.partition("-")[2])
    done = ok(stage("grpo", GRPO, *keys, "--max_steps", step + 1))
    assert f"resuming from {checkpoint}" in done.stderr
    assert {row["step"] for row in read_jsonl(tmp_path / "rollouts/train.jsonl")} == set(
        range(step + 1)
    )


def test_sigterm_before_the_first_step_is_no_traceback(tmp_path):
    process = start(sys.executable, "recipes/sft.py", "--config", SFT, "--output_dir", tmp_path)
    deadline = time.time() + 60
    while b"torch" not in Path(f"/proc/{process.pid}/maps").read_bytes() and time.time() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    said = process.communicate(timeout=60)[0]
    # Without traces the stage ends with 2 before that, or by the signal, or as Python does before the stage has begun.
    assert process.returncode in (2, STOPPED, -signal.SIGTERM) and "Traceback" not in said, said


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


def state(marks, age, waits=False, ended=None, at=0.0):
    return {
        "marks": marks,
        "what": f"work {marks}",
        "age": age,
        "waits": waits,
        "ended": ended,
        "at": at,
    }


@pytest.mark.parametrize(
    ("others", "reason"),
    [
        ({1: state(5, 1)}, None),
        (
            {1: state(5, 700, waits=True)},
            "rank 0 hangs: work 5, for 7",
        ),  # it waits for this process
        (
            {1: state(5, 700), 2: state(9, 700)},
            "one of the ranks 0, 1 hangs: work 5",
        ),  # none is known to wait: who came least far
        ({1: state(4, 700)}, "rank 1 hangs: work 4, for 700 s .the limit is 600."),
        ({1: state(4, 700), 2: state(5, 3)}, None),  # someone goes on
        ({1: state(4, 3, at=-SILENCE_LIMIT - 1)}, "nothing heard for 60 s of rank 1 .work 4."),
        ({1: state(4, 3, at=-SILENCE_LIMIT - 1, ended="")}, None),  # it has done its part
        ({1: state(4, 3, at=-11, ended="no such file")}, "rank 1 has ended: no such file"),
        (
            {1: state(4, 3, at=-5, ended="no such file")},
            None,
        ),  # this process may still say more itself
    ],
)
def test_who_is_missed_and_who_is_blamed(others, reason):
    watch = Watchdog(0, 1, lambda reason: None)
    watch.processes, watch.limit = 1 + len(others), 600
    watch.marks, watch.what, watch.since = 5, "work 5", time.monotonic() - 701
    if others.get(1, {}).get("at") or others[1]["ended"] is not None:
        watch.since = time.monotonic()
    watch.heard = {
        rank: said | {"at": time.monotonic() + said["at"]} for rank, said in others.items()
    }
    found = watch._reason()
    assert found is None if reason is None else re.match(reason, found), found


def test_what_the_first_process_does_alone_does_not_count_in_how_far_it_has_come():
    watch = Watchdog(0, 1, lambda reason: None)
    watch.did("step 3: judging by accuracy")
    watch.did("hashing model.safetensors", alone=True)
    assert (watch.marks, watch.what) == (1, "hashing model.safetensors")
