"""Which student to choose? Several learn the same traces; one table and one plot say what each costs and knows.

    python recipes/tools/sweep.py --recipe arithmetic --students MODEL [MODEL ...]

Reads `traces.jsonl` of the run and the students' base models (folders or hub ids). Leaves, under outputs/<recipe>/sweep/, each
student, `scores.json`, `sweep.md` and `sweep.png`. Started again, it does what is missing.
"""

import argparse
import logging
import sys
from pathlib import Path
from typing import Any

from recipes.core.errors import UserError
from recipes.core.evaluation.markdown import (
    format_fraction,
    format_interval,
    format_parameters,
    markdown_table,
)
from recipes.core.preflight.model import check_model_path
from recipes.core.runs.manifest import read_manifest
from recipes.core.runtime.entrypoint import run_stage
from recipes.tools.stage_runner import recipe_folder, run_stage_command, training_cost

logger = logging.getLogger(__name__)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--recipe", default="arithmetic")
    parser.add_argument(
        "--students", nargs="+", required=True, help="base models: folders or hub ids"
    )
    parser.add_argument(
        "--output_dir",
        type=Path,
        help="of the run whose traces are learnt; default: outputs/<recipe>",
    )
    args, keys = parser.parse_known_args()  # the rest are keys of `sft`, for every student
    recipe = recipe_folder(args.recipe)
    run_dir = (args.output_dir or Path("outputs") / recipe.name).absolute()
    traces, out = run_dir / "traces.jsonl", run_dir / "sweep"
    if not traces.is_file():
        raise UserError(
            f"there is no file {traces}; run `make generate RECIPE={recipe.name}` first"
        )
    students = {Path(model).name: check_model_path("--students", model) for model in args.students}
    if len(students) < len(args.students):
        raise UserError("--students: two of them have the same name")
    for name, model in students.items():
        words = ("--traces", traces, "--model_name_or_path", model, "--save_strategy", "no", *keys)
        run_stage_command(
            "sft", recipe, out / name, *words, done=out / name / "student/manifest.json"
        )
    entries = [f"{name}={out / name / 'student'}" for name in students]
    run_stage_command("evaluate", recipe, out, "--models", *entries)
    rows = measure_student(out, list(students))
    text = table(rows)
    (out / "sweep.md").write_text(text, encoding="utf-8")
    plot(rows, out / "sweep.png")
    sys.stdout.write(text)
    logger.info("sweep: left %s/sweep.md and sweep.png", out)


def measure_student(out: Path, names: list[str]) -> dict[str, dict[str, Any]]:
    """For each student, smallest first: what `scores.json` says of it on the held-out questions, `seconds` for one completion
    (drawn in batches) and `train_seconds`."""
    scores = read_manifest(out / "scores.json")["held_out"]["models"]
    rows = {}
    for name in sorted(names, key=lambda name: scores[name]["parameters"]):
        drawn = read_manifest(out / f"completions/held_out/{name}.manifest.json")["sampling"]
        seconds, _ = training_cost(out / name / "student")
        rows[name] = scores[name] | {
            "seconds": drawn["seconds_per_completion"],
            "train_seconds": seconds,
        }
    return rows


def table(rows: dict[str, dict[str, Any]]) -> str:
    header = [
        "student",
        "parameters",
        "accuracy",
        "95 % interval",
        "format",
        "length",
        "ms an answer",
        "weights",
        "training",
    ]
    lines = []
    for name, s in rows.items():
        line = [
            name,
            format_parameters(s["parameters"]),
            format_fraction(s["accuracy"]),
            format_interval(s["ci95"]),
            format_fraction(s["format"]),
        ]
        line += [
            f"{s['mean_length']:.1f}",
            f"{1000 * s['seconds']:.2f}",
            f"{s['weights_mb']} MB",
            f"{s['train_seconds']:.0f} s",
        ]
        lines.append(line)
    return markdown_table(header, lines)


def plot(rows: dict[str, dict[str, Any]], file: Path) -> None:
    """Accuracy, with its interval, against parameters, seconds an answer and memory of the weights."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 4), layout="constrained")
    labels = {
        "parameters": "parameters",
        "seconds": "seconds an answer, in batches",
        "weights_mb": "weights, MB",
    }
    accuracies = [s["accuracy"] for s in rows.values()]
    errors = [
        [s["accuracy"] - s["ci95"][0] for s in rows.values()],
        [s["ci95"][1] - s["accuracy"] for s in rows.values()],
    ]
    for axes, (key, label) in zip(figure.subplots(1, 3, sharey=True), labels.items(), strict=True):
        places = [s[key] for s in rows.values()]
        axes.errorbar(places, accuracies, yerr=errors, marker="o", capsize=3)
        for name, x, y in zip(rows, places, accuracies, strict=True):
            axes.annotate(name, (x, y), textcoords="offset points", xytext=(5, -12))
        axes.set(xscale="log", xlabel=label, ylabel="held-out accuracy", ylim=(0, 1))
    figure.savefig(file, dpi=120)


if __name__ == "__main__":
    run_stage(main)
