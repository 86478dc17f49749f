"""How fast does `sft` learn traces of uneven length, against `trl sft` with the same YAML?

    python -m benchmarks.bench_sft [--rows 3000] [--seeds 1 2]

Both train all weights of the base that arithmetic ships on the same traces, whose lengths spread 1 : 10, for one epoch, by turns,
each seed. Prints completion tokens per second, and the training loss of both in each quarter of the epoch: two seeds of the same
trainer say how much of a difference is noise.
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

from recipes.arithmetic.dataset import questions

YAML = """
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
use_cpu: {cpu}
gradient_checkpointing: false
report_to: none
"""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=3000)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2])
    options = parser.parse_args()

    import torch

    sides = {"ours": [sys.executable, "recipes/sft.py"], "trl sft": ["trl", "sft"]}
    with tempfile.TemporaryDirectory() as folder:
        tokens = write_traces(Path(folder, "data"), options.rows)
        Path(folder, "sft.yaml").write_text(
            YAML.format(folder=folder, cpu=not torch.accelerator.is_available())
        )
        speeds: dict[str, list[float]] = {side: [] for side in sides}
        for seed in options.seeds:
            for side, command in sides.items():
                out = Path(folder, f"{side.replace(' ', '_')}_{seed}")
                words = [
                    *command,
                    "--config",
                    f"{folder}/sft.yaml",
                    "--seed",
                    str(seed),
                    "--output_dir",
                    str(out),
                ]
                done = subprocess.run(words, capture_output=True, text=True)
                if done.returncode:
                    sys.exit(done.stderr[-3000:])
                logs = json.loads(next(out.rglob("checkpoint-*/trainer_state.json")).read_text())[
                    "log_history"
                ]
                # What comes after the last checkpoint stands in our final state; TRL's script only prints it.
                final = out / "student/trainer_state.json"
                said = final.read_text() if final.exists() else done.stdout + done.stderr
                speeds[side].append(
                    tokens / float(re.findall(r"""train_runtime["']: ["']?([\d.]+)""", said)[-1])
                )
                losses = [log["loss"] for log in logs if "loss" in log]
                quarter = len(losses) // 4
                means = [statistics.mean(losses[i * quarter : (i + 1) * quarter]) for i in range(4)]
                shown = " ".join(f"{mean:.4f}" for mean in means)
                sys.stdout.write(
                    f"{side}, seed {seed}: {speeds[side][-1]:.0f} completion tokens/s; loss by quarters {shown}\n"
                )
    ours, trl = (statistics.median(speeds[side]) for side in sides)
    sys.stdout.write(f"ours is {ours / trl:.2f} times as fast\n")


def write_traces(folder: Path, count: int) -> int:
    """Writes a dataset of TRL's prompt-completion type; returns the number of completion tokens (with the end of each turn)."""
    rng, rows, tokens = random.Random(0), [], 0
    for row in questions()["train"].select(range(count)):
        a, b = row["question"].split("+")[0].split("*")
        tens, ones = int(a) // 10 * 10, int(a) % 10
        working = f"{tens}*{b}={tens * int(b)} {ones}*{b}={ones * int(b)} " * 20
        thinking = working[: rng.randrange(20, 241)]
        text = f"<think>{thinking}</think><answer>{row['answer']}</answer>"
        tokens += len(thinking) + len(row["answer"]) + 4 + 1
        rows.append(
            {
                "prompt": [{"role": "user", "content": row["question"]}],
                "completion": [{"role": "assistant", "content": text}],
            }
        )
    folder.mkdir()
    (folder / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tokens


if __name__ == "__main__":
    main()
