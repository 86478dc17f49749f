"""SIGTERM ends a training with a checkpoint and an exit code of its own, never with a traceback."""

import json
import signal
import sys
from pathlib import Path

from recipes.core.files import read_jsonl
from recipes.core.runtime.stopping import STOPPED
from tests.runtime.processes import start, wait_for_lines, wait_while_running
from tests.support.commands import stage_here

GRPO = "recipes/arithmetic/grpo.yaml"
SFT = "recipes/arithmetic/sft.yaml"


def test_sigterm_saves_the_current_step_and_the_same_command_resumes(tmp_path, caplog):
    keys = (
        *("--output_dir", tmp_path, "--max_steps", 500),
        *("--per_device_train_batch_size", 8, "--num_generations", 8),
    )
    process = start(sys.executable, "recipes/grpo.py", "--config", GRPO, *keys)
    wait_for_lines(tmp_path / "rollouts/train.jsonl", 2 * 8, process)
    process.send_signal(signal.SIGTERM)
    output = process.communicate(timeout=60)[0]
    assert process.returncode == STOPPED, output[-3000:]

    # One line, one checkpoint, and a manifest that tells what happened.
    (checkpoint,) = (tmp_path / "policy").glob("checkpoint-*")
    assert f"stopped: {checkpoint} is saved; the same command resumes the run" in output
    assert "Traceback" not in output
    manifest = json.loads((tmp_path / "policy/manifest.json").read_text())
    assert manifest["status"] == "stopped"

    # No step is lost and none is done twice.
    step = int(checkpoint.name.partition("-")[2])
    with caplog.at_level("INFO"):
        stage_here("grpo", GRPO, *keys, "--max_steps", step + 1)
    assert f"resuming from {checkpoint}" in caplog.text
    steps = [row["step"] for row in read_jsonl(tmp_path / "rollouts/train.jsonl")]
    assert steps == [done for done in range(step + 1) for _ in range(8)]


def test_sigterm_before_the_first_step_is_no_traceback(tmp_path, traces):
    keys = ("--config", SFT, "--output_dir", tmp_path, "--traces", traces)
    process = start(sys.executable, "recipes/sft.py", *keys)
    libraries = Path(f"/proc/{process.pid}/maps")
    wait_while_running(process, lambda: b"torch" in libraries.read_bytes())
    process.send_signal(signal.SIGTERM)
    output = process.communicate(timeout=60)[0]
    # The signal itself may end Python before the stage has begun.
    assert process.returncode in (STOPPED, -signal.SIGTERM) and "Traceback" not in output, output
