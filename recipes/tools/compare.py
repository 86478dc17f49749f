"""Does a small model learn more from a teacher than by itself? The twin of DeepSeek-R1's Table 6 (arXiv 2501.12948) in small.

    python recipes/tools/compare.py --recipe arithmetic [--seeds 42 1 2] [--jobs 2]

For every seed, from the same student base and with the same seconds of training and drawing: RL by itself; distilled from the RL
teacher, whose training counts, too; distilled half as long, and then RL. Leaves, under outputs/<recipe>/compare/, `compare.json`,
`compare.md`, `compare.png` and each seed's run. Started again, it does what is missing.
"""

import argparse
import logging
import os
import statistics
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from recipes.core.config.yaml_files import read_yaml
from recipes.core.files import write_json
from recipes.core.runs.fingerprints import git_commit
from recipes.core.runs.manifest import read_manifest
from recipes.core.runtime.entrypoint import run_stage
from recipes.tools.stage_runner import (
    Cost,
    recipe_folder,
    run_stage_command,
    sampling_cost,
    share_cores,
    training_cost,
)

logger = logging.getLogger(__name__)

STUDENT_T_975 = (
    12.71,
    4.30,
    3.18,
    2.78,
    2.57,
    2.45,
    2.36,
    2.31,
    2.26,
)  # Student's t, 97.5 %, for 2 to 10 seeds
NO_CHECKPOINTS = (
    "--save_strategy",
    "no",
)  # what is measured by the clock is done in one piece: killed, it starts anew
ARMS = ("student_base", "rl_alone", "distilled", "distilled_then_rl")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--recipe", default="arithmetic")
    parser.add_argument("--seeds", type=int, nargs="+", default=[42, 1, 2])
    parser.add_argument(
        "--jobs", type=int, help="stages side by side; default: one a core, and one at all on a GPU"
    )
    parser.add_argument("--output_dir", type=Path, help="default: outputs/<recipe>/compare")
    args = parser.parse_args()
    recipe = recipe_folder(args.recipe)
    out = (args.output_dir or Path("outputs") / recipe.name / "compare").absolute()
    jobs = args.jobs or (
        1 if Path("/dev/nvidiactl").exists() else min(len(args.seeds), os.cpu_count() or 1)
    )
    share_cores(jobs)
    folders = {seed: out / f"seed{seed}" for seed in args.seeds}
    with ThreadPoolExecutor(jobs) as pool:
        taught = {
            seed: pool.submit(train_teacher, recipe, folder, seed)
            for seed, folder in folders.items()
        }
        others = []
        for seed, folder in folders.items():
            seconds = taught[seed].result()
            others.append(pool.submit(rl_only, recipe, folder, seed, sum(seconds.values())))
            others.append(pool.submit(distill_then_rl, recipe, folder, seed, seconds["sft"] / 2))
        for one in others:
            one.result()
        list(pool.map(lambda seed: evaluate(recipe, folders[seed], seed), args.seeds))
    document = {"recipe": recipe.name, "seeds": args.seeds, "arms": summarize(folders)}
    write_json(out / "compare.json", document | {"git_commit": git_commit()})
    text = table(document["arms"])
    (out / "compare.md").write_text(text, encoding="utf-8")
    plot(document["arms"], out / "compare.png")
    sys.stdout.write(text)
    logger.info("compare: left %s/compare.json, compare.md and compare.png", out)


def train_teacher(recipe: Path, folder: Path, seed: int) -> dict[str, float]:
    """The teacher, its traces and the student that learns them; the seconds of each."""
    keys = ("--seed", seed, *NO_CHECKPOINTS)
    run_stage_command("grpo", recipe, folder, *keys, done=folder / "policy/manifest.json")
    if read_manifest(folder / "traces.manifest.json").get("status") != "finished":
        for file in folder.glob("generations.*"):
            file.unlink()
    run_stage_command(
        "generate", recipe, folder, "--seed", seed, done=folder / "traces.manifest.json"
    )
    run_stage_command("sft", recipe, folder, *keys, done=folder / "student/manifest.json")
    return {name: seconds for name, (seconds, _) in teaching_costs(folder).items()}


def teaching_costs(folder: Path) -> dict[str, Cost]:
    return {
        "grpo": training_cost(folder / "policy"),
        "generate": sampling_cost(folder / "generations.manifest.json"),
        "sft": training_cost(folder / "student"),
    }


def rl_only(recipe: Path, folder: Path, seed: int, seconds: float) -> None:
    student = read_yaml(recipe / "sft.yaml")["model_name_or_path"]
    run_rl(recipe, folder / "rl_alone", seed, student, seconds)


def distill_then_rl(recipe: Path, folder: Path, seed: int, seconds: float) -> None:
    """Half of the epochs on the traces, and RL in the seconds of the other half."""
    epochs = float(read_yaml(recipe / "sft.yaml")["num_train_epochs"]) / 2
    keys = (
        "--seed",
        seed,
        *NO_CHECKPOINTS,
        "--traces",
        folder / "traces.jsonl",
        "--num_train_epochs",
        epochs,
    )
    run_stage_command(
        "sft", recipe, folder / "then_rl", *keys, done=folder / "then_rl/student/manifest.json"
    )
    run_rl(recipe, folder / "then_rl", seed, folder / "then_rl/student", seconds)


def run_rl(recipe: Path, folder: Path, seed: int, model: object, seconds: float) -> None:
    keys: tuple[object, ...] = (
        "--seed",
        seed,
        "--model_name_or_path",
        model,
        "--max_seconds",
        round(seconds, 1),
    )
    keys += ("--max_steps", 10**6, *NO_CHECKPOINTS)
    run_stage_command("grpo", recipe, folder, *keys, done=folder / "policy/manifest.json")


def evaluate(recipe: Path, folder: Path, seed: int) -> None:
    student = read_yaml(recipe / "sft.yaml")["model_name_or_path"]
    models = (f"student_base={student}", f"rl_alone={folder}/rl_alone/policy", f"distilled={folder}/student",
              f"distilled_then_rl={folder}/then_rl/policy", f"teacher={folder}/policy")  # fmt: skip
    run_stage_command("evaluate", recipe, folder, "--seed", seed, "--eval_sets", "[]", "--models", *models,
          done=folder / "scores.manifest.json")  # fmt: skip


def summarize(folders: dict[int, Path]) -> dict[str, dict[str, Any]]:
    """For each arm, lists with one value a seed: `accuracy`, `flexible_accuracy`, `seconds`, `tokens`, and the teacher's share of
    the two, `teacher_seconds` and `teacher_tokens` (its training and the drawing of its traces)."""
    keys = (
        "accuracy",
        "flexible_accuracy",
        "seconds",
        "tokens",
        "teacher_seconds",
        "teacher_tokens",
    )
    arms: dict[str, dict[str, Any]] = {arm: {key: [] for key in keys} for arm in (*ARMS, "teacher")}
    for folder in folders.values():
        scores, taught = (
            read_manifest(folder / "scores.json")["held_out"]["models"],
            teaching_costs(folder),
        )
        teacher, distilling = taught["grpo"], [taught["grpo"], taught["generate"]]
        costs: dict[
            str, tuple[list[Cost], list[Cost]]
        ] = {  # all of an arm, and the teacher's part of it
            "student_base": ([], []),
            "rl_alone": ([training_cost(folder / "rl_alone/policy")], []),
            "distilled": ([*distilling, taught["sft"]], distilling),
            "distilled_then_rl": (
                [
                    *distilling,
                    training_cost(folder / "then_rl/student"),
                    training_cost(folder / "then_rl/policy"),
                ],
                distilling,
            ),
            "teacher": ([teacher], [teacher]),
        }
        for arm, (all_of_it, of_teacher) in costs.items():
            values = [scores[arm]["accuracy"], scores[arm]["flexible_accuracy"]]
            values += [
                sum(cost[unit] for cost in part)
                for part in (all_of_it, of_teacher)
                for unit in (0, 1)
            ]
            for key, value in zip(keys, values, strict=True):
                arms[arm][key].append(value)
    for of_arm in arms.values():
        of_arm["ci95"] = seed_interval(of_arm["accuracy"])
    return arms


def seed_interval(values: list[float]) -> list[float] | None:
    """The 95 % interval of the mean over seeds, by Student's t, within 0 and 1; `None` for one seed."""
    if len(values) < 2:
        return None
    half = (
        STUDENT_T_975[min(len(values) - 2, len(STUDENT_T_975) - 1)]
        * statistics.stdev(values)
        / len(values) ** 0.5
    )
    return [max(0.0, statistics.mean(values) - half), min(1.0, statistics.mean(values) + half)]


def table(arms: dict[str, dict[str, Any]]) -> str:
    from recipes.core.evaluation.markdown import format_fraction, format_interval, markdown_table

    header = [
        "model",
        "accuracy",
        "95 % interval",
        "each seed",
        "lenient",
        "seconds",
        "by the teacher",
        "tokens",
        "by the teacher",
    ]
    rows = []
    for arm, values in arms.items():
        mean = {key: statistics.mean(column) for key, column in values.items() if key != "ci95"}
        row = [
            arm,
            format_fraction(mean["accuracy"]),
            format_interval(values["ci95"]) if values["ci95"] else "-",
        ]
        row += [
            " / ".join(map(format_fraction, values["accuracy"])),
            format_fraction(mean["flexible_accuracy"]),
        ]
        row += [f"{mean['seconds']:.0f}", f"{mean['teacher_seconds']:.0f}"]
        row += [f"{mean['tokens'] / 1e6:.2f} M", f"{mean['teacher_tokens'] / 1e6:.2f} M"]
        rows.append(row)
    return markdown_table(header, rows)


def plot(arms: dict[str, dict[str, Any]], file: Path) -> None:
    """Accuracy against seconds and against tokens; one point a seed, hollow where the teacher's share is left out."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), layout="constrained")
    for axes, unit in zip(figure.subplots(1, 2, sharey=True), ("seconds", "tokens"), strict=True):
        for index, arm in enumerate(ARMS):
            values, colour = arms[arm], f"C{index}"
            axes.scatter(values[unit], values["accuracy"], color=colour, label=arm)
            if any(values[f"teacher_{unit}"]):
                own = [
                    x - teacher
                    for x, teacher in zip(values[unit], values[f"teacher_{unit}"], strict=True)
                ]
                axes.scatter(
                    own,
                    values["accuracy"],
                    edgecolors=colour,
                    facecolors="none",
                    label=f"{arm}, without the teacher",
                )
        axes.set(xlabel=f"{unit} of training and drawing", ylabel="held-out accuracy", ylim=(0, 1))
    figure.axes[0].legend(fontsize="small")
    figure.savefig(file, dpi=120)


if __name__ == "__main__":
    run_stage(main)
