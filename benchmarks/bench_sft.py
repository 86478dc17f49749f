"""Compares the speed of `sft` on traces of uneven length with `trl sft` and the same YAML.

    python -m benchmarks.bench_sft [--rows 3000] [--seeds 1 2]

Both train all weights of the base that the recipe arithmetic ships, for one epoch on the same
traces, whose lengths spread 1 : 10, in turns and with each seed.

Prints completion tokens per second of each run, the training loss in each quarter of the epoch, and
the ratio. Two seeds of the same trainer show how much of a difference in loss is noise.
"""

import argparse
import json
import random
import re
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from recipes.arithmetic.dataset import questions

SIDES = {"ours": [sys.executable, "recipes/sft.py"], "trl sft": ["trl", "sft"]}

CONFIG = """
model_name_or_path: recipes/arithmetic/models/base
dtype: float32
dataset_name: {folder}/data
max_length: 512
per_device_train_batch_size: 8
gradient_accumulation_steps: 4
num_train_epochs: 1
learning_rate: 1.0e-3
lr_scheduler_type: constant
logging_steps: 1
save_strategy: epoch
bf16: false
use_cpu: {use_cpu}
gradient_checkpointing: false
report_to: none
"""


class TrainingRun(NamedTuple):
    """What one run of a trainer took, and how well it learned."""

    seconds: float
    quarter_losses: list[float]


def main() -> None:
    parser = argparse.ArgumentParser(
        "python -m benchmarks.bench_sft",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--rows", type=int, default=3000)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2])
    options = parser.parse_args()

    speeds: dict[str, list[float]] = {side: [] for side in SIDES}
    with tempfile.TemporaryDirectory() as name:
        # The same traces and the same YAML for both.
        folder = Path(name)
        tokens = write_traces(folder / "data", options.rows)
        config = write_config(folder)

        # In turns, so that a change in the load of the machine meets both.
        for seed in options.seeds:
            for side in SIDES:
                output_dir = folder / f"{side.replace(' ', '_')}_{seed}"
                run = train(side, config, seed, output_dir)
                speed = tokens / run.seconds
                speeds[side].append(speed)
                losses = " ".join(f"{loss:.4f}" for loss in run.quarter_losses)
                sys.stdout.write(
                    f"{side}, seed {seed}: {speed:.0f} completion tokens/s; "
                    f"loss by quarters {losses}\n"
                )

    ratio = statistics.median(speeds["ours"]) / statistics.median(speeds["trl sft"])
    sys.stdout.write(f"ours is {ratio:.2f} times as fast\n")


def write_config(folder: Path) -> Path:
    """Writes the YAML of both sides."""
    import torch

    file = folder / "sft.yaml"
    file.write_text(CONFIG.format(folder=folder, use_cpu=not torch.accelerator.is_available()))
    return file


def train(side: str, config: Path, seed: int, output_dir: Path) -> TrainingRun:
    """Runs one trainer in a process of its own; exits with the end of its log if it fails."""
    command = [*SIDES[side], "--config", str(config), "--seed", str(seed)]
    command += ["--output_dir", str(output_dir)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr[-3000:])

    # The loss of each step, from the checkpoint at the end of the epoch.
    state = next(output_dir.rglob("checkpoint-*/trainer_state.json"))
    logs = json.loads(state.read_text())["log_history"]
    losses = [log["loss"] for log in logs if "loss" in log]
    size = len(losses) // 4
    quarters = [statistics.mean(losses[i * size : (i + 1) * size]) for i in range(4)]

    # The duration is known after the last checkpoint: our final state has it, TRL only prints it.
    final_state = output_dir / "student/trainer_state.json"
    text = final_state.read_text() if final_state.exists() else done.stdout + done.stderr
    seconds = re.findall(r"""train_runtime["']: ["']?([\d.]+)""", text)[-1]
    return TrainingRun(float(seconds), quarters)


def write_traces(folder: Path, count: int) -> int:
    """Writes a dataset of TRL's prompt-completion type; returns its number of completion tokens.

    A character is a token of this model, and so are the four tags and the end of the turn.
    """
    rng = random.Random(0)
    tokens = 0
    lines = []
    for row in questions()["train"].select(range(count)):
        # Steps that repeat, cut at a random length.
        a, b = map(int, row["question"].split("+")[0].split("*"))
        tens = a // 10 * 10
        ones = a % 10
        steps = f"{tens}*{b}={tens * b} {ones}*{b}={ones * b} " * 20
        thinking = steps[: rng.randrange(20, 241)]
        completion = f"<think>{thinking}</think><answer>{row['answer']}</answer>"
        tokens += len(thinking) + len(row["answer"]) + 4 + 1

        trace = {
            "prompt": [{"role": "user", "content": row["question"]}],
            "completion": [{"role": "assistant", "content": completion}],
        }
        lines.append(json.dumps(trace) + "\n")
    folder.mkdir()
    (folder / "train.jsonl").write_text("".join(lines))
    return tokens


if __name__ == "__main__":
    main()
