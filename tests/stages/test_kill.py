"""What a stage leaves when it is killed, and what it makes of that."""

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from recipes.core.files import read_jsonl
from tests.support.commands import ROOT, ok, stage

GRPO, GENERATE = "recipes/arithmetic/grpo.yaml", "recipes/arithmetic/generate.yaml"
BATCH = ("--per_device_train_batch_size", 32, "--num_generations", 8)
TEACHER = (
    "--model_name_or_path",
    "recipes/arithmetic/models/base",
    "--num_generations",
    2,
    "--batch_size",
    20,
)


def killed(
    command: list[object],
    when: Path,
    lines: int,
    pause: float = 0.0,
    how: signal.Signals = signal.SIGKILL,
) -> str:
    """Starts a command and kills it and all its children; returns what it wrote to stderr.

    Killed `pause` seconds after the file `when` has `lines` lines.
    """
    process = subprocess.Popen(
        [str(word) for word in command],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        # Tests that run in the background ignore SIGINT, and their children would too.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    deadline = time.time() + 120
    while time.time() < deadline and process.poll() is None:
        if when.exists() and when.read_bytes().count(b"\n") >= lines:
            break
        time.sleep(0.02)
    time.sleep(pause)
    assert process.poll() is None, "it ended before it could be killed"
    # One by one, because torch's launcher gives its children sessions of their own.
    children = psutil.Process(process.pid).children(recursive=True)
    for victim in [*children, process]:
        victim.send_signal(how)
    return process.communicate(timeout=60)[1]


def test_grpo_killed_in_the_middle_loses_nothing_before_its_last_checkpoint(tmp_path):
    keys = ("--output_dir", tmp_path, "--max_steps", 12, "--save_steps", 2, *BATCH)
    killed(
        [sys.executable, "recipes/grpo.py", "--config", GRPO, *keys],
        tmp_path / "rollouts/train.jsonl",
        5 * 32,
    )
    before = read_jsonl(tmp_path / "rollouts/train.jsonl")
    done = ok(stage("grpo", GRPO, *keys))
    assert "resuming from" in done.stderr
    after = read_jsonl(tmp_path / "rollouts/train.jsonl")
    assert [row["step"] for row in after] == [step for step in range(12) for _ in range(32)]
    assert after[: 4 * 32] == before[: 4 * 32]


@pytest.mark.parametrize("kills", [2, pytest.param(10, marks=pytest.mark.slow)])
def test_two_processes_killed_at_random_moments_end_with_the_file_of_one_that_was_never_killed(
    tmp_path, kills
):
    keys = (*TEACHER, "--max_train_samples", 400 * kills)
    ok(stage("generate", GENERATE, "--output_dir", tmp_path / "whole", *keys))
    file, rng = tmp_path / "killed/generations.jsonl", random.Random(kills)
    command = ["bash", "launch.sh", "generate", GENERATE]
    command += ["--accelerate", "ddp", "--num-processes", 2, *keys]
    for _ in range(kills):
        there = file.read_bytes().count(b"\n") if file.exists() else 0
        killed(
            [*command, "--output_dir", tmp_path / "killed"],
            file,
            there + 1,
            pause=rng.uniform(0, 0.5),
        )
    with file.open("ab") as torn:
        torn.write(b'{"key": "torn')
    assert 0 < len(read_jsonl(file)) < 800 * kills
    ok(stage("generate", GENERATE, "--output_dir", tmp_path / "killed", *keys))
    assert file.read_bytes() == (tmp_path / "whole/generations.jsonl").read_bytes()
    rows = read_jsonl(file)
    assert (
        len({(row["question_id"], row["sample_index"]) for row in rows}) == len(rows) == 800 * kills
    )


def test_control_c_leaves_whole_lines_and_says_how_to_go_on(tmp_path):
    file = tmp_path / "generations.jsonl"
    command = [sys.executable, "recipes/generate.py", "--config", GENERATE, *TEACHER]
    command += ["--output_dir", tmp_path]
    output = killed(command, file, 1, how=signal.SIGINT)
    assert "stopped; the same command resumes from what is written" in output
    assert "Traceback" not in output
    rows = read_jsonl(file)
    assert rows and file.read_bytes().count(b"\n") == len(rows)


def test_a_line_that_was_torn_before_another_process_wrote_on_is_dropped(tmp_path, caplog):
    file = tmp_path / "rows.jsonl"
    file.write_text('{"a": 1}\n{"a": 2, "b{"a": 3}\n{"a": 4}\n{"a"')
    assert read_jsonl(file) == [{"a": 1}, {"a": 4}]
    assert "line 2: is torn" in caplog.text
