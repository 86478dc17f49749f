"""The launcher's supervision: how what it has started ends, what is said about it, and that nothing is left of it."""

import os
import signal
import subprocess
import time
from pathlib import Path

import psutil
import pytest

from recipes.core.launch.supervisor import exit_code
from recipes.core.runtime.stopping import LOST, STOPPED
from tests.support.commands import ROOT, run

GRPO, SFT = "recipes/arithmetic/grpo.yaml", "recipes/arithmetic/sft.yaml"


def said(code):
    return {"code": code, "message": "because"}


@pytest.mark.parametrize(
    ("code", "sent", "words", "ends_with"),
    [
        (0, [], {}, 0),
        (0, [], {0: said(0)}, 0),
        (
            0,
            [signal.SIGTERM],
            {0: said(STOPPED), 1: said(STOPPED)},
            STOPPED,
        ),  # torch's agent was content
        (
            1,
            [],
            {0: said(STOPPED), 1: said(STOPPED)},
            STOPPED,
        ),  # the processes were sent SIGTERM, the launcher was not
        (
            1,
            [],
            {0: said(STOPPED)},
            LOST,
        ),  # one was killed, and torch's agent told the other to stop
        (
            1,
            [signal.SIGTERM],
            {0: said(1), 1: said(LOST)},
            STOPPED,
        ),  # told to stop, and failed as others went: goes on from before
        (1, [], {0: said(LOST), 1: said(2)}, 2),  # the cause, not what came of it
        (1, [], {0: said(LOST), 1: said(1)}, LOST),
        (1, [signal.SIGINT], {}, 130),
        (-15, [signal.SIGTERM], {}, STOPPED),  # before anything was begun
        (1, [], {}, LOST),
    ],
)
def test_the_exit_code_says_why_it_ended_and_not_only_that(code, sent, words, ends_with):
    assert exit_code(code, sent, words, 2) == ends_with


def start(*words: object, **environment: str) -> subprocess.Popen:
    return subprocess.Popen(
        ["bash", "launch.sh", *map(str, words)],
        cwd=ROOT,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def wait_for(file: Path, process: subprocess.Popen, seconds: float = 120) -> None:
    deadline = time.time() + seconds
    while not file.exists() and time.time() < deadline and process.poll() is None:
        time.sleep(0.05)
    assert file.exists() and process.poll() is None, process.communicate(timeout=60)[0][-3000:]


def test_sigterm_to_every_process_at_once_as_slurm_sends_it_saves_too(tmp_path):
    keys = (
        "--output_dir",
        tmp_path,
        "--max_steps",
        500,
        "--per_device_train_batch_size",
        256,
        "--num_generations",
        8,
    )
    process = start("grpo", GRPO, "--accelerate", "cpu", *keys)
    wait_for(tmp_path / "rollouts/train.jsonl", process)
    for one in [*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)]:
        one.send_signal(
            signal.SIGTERM
        )  # accelerate, which would wait for its process, ends at once
    said = process.communicate(timeout=90)[0]
    assert process.returncode == STOPPED and "is saved; the same command goes on" in said, said[
        -3000:
    ]


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_no_child_outlives_the_launcher_and_sigterm_saves_first(tmp_path, how):
    keys = (
        "--output_dir",
        tmp_path,
        "--max_steps",
        500,
        "--per_device_train_batch_size",
        8,
        "--num_generations",
        8,
    )
    process = start("grpo", GRPO, "--accelerate", "ddp", "--num-processes", 2, *keys)
    wait_for(tmp_path / "rollouts/train.jsonl", process)
    below = psutil.Process(process.pid).children(recursive=True)
    assert len(below) >= 3  # accelerate and two processes, whatever judges the answers
    process.send_signal(how)
    said = process.communicate(timeout=90)[0]
    _, alive = psutil.wait_procs(below, timeout=60)
    assert alive == []
    (checkpoint,) = (tmp_path / "policy").glob(
        "checkpoint-*"
    )  # they save when their parent dies, too
    assert (checkpoint / "sealed.json").exists()
    if how == signal.SIGTERM:
        assert (
            process.returncode == STOPPED
            and f"{checkpoint} is saved" in said
            and "Traceback" not in said
        )
        step = int(checkpoint.name.partition("-")[2])
        done = run(
            "bash",
            "launch.sh",
            "grpo",
            GRPO,
            "--accelerate",
            "ddp",
            "--num-processes",
            2,
            *keys,
            "--max_steps",
            step + 1,
        )
        assert done.returncode == 0 and f"going on from {checkpoint}" in done.stderr


def test_a_config_that_accelerate_starts_as_one_process_is_refused_with_the_reason(tmp_path):
    (tmp_path / "multi_cpu.yaml").write_text(
        "compute_environment: LOCAL_MACHINE\ndistributed_type: MULTI_CPU\nuse_cpu: true\n"
    )
    command = (
        "accelerate",
        "launch",
        "--config_file",
        tmp_path / "multi_cpu.yaml",
        "--num_processes",
        2,
    )
    done = run(*command, "recipes/sft.py", "--config", SFT)
    assert done.returncode != 0
    assert "error: accelerate was asked for several processes and started one" in done.stderr
