"""Chooses a student size: several students learn the same traces, and one table compares them.

    python -m recipes.tools.sweep --recipe arithmetic --students MODEL [MODEL ...]

Reads    traces.jsonl of the run, and the students' base models (folders or hub ids)
Writes   outputs/<recipe>/sweep/: each student, scores.json, sweep.md and sweep.png
Resumes  with what is missing when the same command is run again
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

Students = dict[str, dict[str, Any]]  # scores of each student, and what it cost


def main() -> None:
    args, keys = parse_arguments()
    recipe = recipe_folder(args.recipe)
    run_dir = (args.output_dir or Path("outputs") / recipe.name).absolute()
    traces = run_dir / "traces.jsonl"
    if not traces.is_file():
        raise UserError(
            f"there is no file {traces}; run `make generate RECIPE={recipe.name}` first"
        )
    models = name_students(args.students)

    # Train every student on the same traces, and evaluate all of them together.
    out = run_dir / "sweep"
    for name, model in models.items():
        words = ("--traces", traces, "--model_name_or_path", model, "--save_strategy", "no")
        manifest = out / name / "student/manifest.json"
        run_stage_command("sft", recipe, out / name, *words, *keys, done=manifest)
    entries = [f"{name}={out / name / 'student'}" for name in models]
    run_stage_command("evaluate", recipe, out, "--models", *entries)

    # One table and one plot.
    students = read_students(out, list(models))
    text = table(students)
    (out / "sweep.md").write_text(text, encoding="utf-8")
    plot(students, out / "sweep.png")
    sys.stdout.write(text)
    logger.info("sweep: wrote %s/sweep.md and sweep.png", out)


def parse_arguments() -> tuple[argparse.Namespace, list[str]]:
    """The options, and further keys of `sft` that hold for every student."""
    parser = argparse.ArgumentParser(
        "python -m recipes.tools.sweep",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--recipe", default="arithmetic")
    parser.add_argument(
        "--students", nargs="+", required=True, help="base models: folders or hub ids"
    )
    parser.add_argument(
        "--output_dir", type=Path, help="the run whose traces are learned: outputs/<recipe>"
    )
    return parser.parse_known_args()


def name_students(models: list[str]) -> dict[str, str]:
    """The students by the last part of their model's name."""
    students = {Path(model).name: check_model_path("--students", model) for model in models}
    if len(students) < len(models):
        raise UserError("--students: two of them have the same name")
    return students


def read_students(out: Path, names: list[str]) -> Students:
    """The students, smallest first: their held-out scores, and what they cost.

    `seconds` are those of one completion, sampled in batches; `train_seconds` those of training.
    """
    scores = read_manifest(out / "scores.json")["held_out"]["models"]
    students = {}
    for name in sorted(names, key=lambda name: scores[name]["parameters"]):
        manifest = read_manifest(out / f"completions/held_out/{name}.manifest.json")
        cost = {
            "seconds": manifest["sampling"]["seconds_per_completion"],
            "train_seconds": training_cost(out / name / "student").seconds,
        }
        students[name] = scores[name] | cost
    return students


def table(students: Students) -> str:
    """One line per student."""
    header = ["student", "parameters", "accuracy", "95 % interval", "format", "length"]
    header += ["ms per answer", "weights", "training"]
    rows = []
    for name, student in students.items():
        rows.append(
            [
                name,
                format_parameters(student["parameters"]),
                format_fraction(student["accuracy"]),
                format_interval(student["ci95"]),
                format_fraction(student["format"]),
                f"{student['mean_length']:.1f}",
                f"{1000 * student['seconds']:.2f}",
                f"{student['weights_mb']} MB",
                f"{student['train_seconds']:.0f} s",
            ]
        )
    return markdown_table(header, rows)


def plot(students: Students, file: Path) -> None:
    """Accuracy with its interval against parameters, seconds per answer and memory of the weights."""
    from matplotlib.figure import Figure

    labels = {
        "parameters": "parameters",
        "seconds": "seconds per answer, in batches",
        "weights_mb": "weights, MB",
    }
    accuracies = [student["accuracy"] for student in students.values()]
    below = [student["accuracy"] - student["ci95"][0] for student in students.values()]
    above = [student["ci95"][1] - student["accuracy"] for student in students.values()]
    figure = Figure(figsize=(12, 4), layout="constrained")
    for axes, (key, label) in zip(figure.subplots(1, 3, sharey=True), labels.items(), strict=True):
        values = [student[key] for student in students.values()]
        axes.errorbar(values, accuracies, yerr=[below, above], marker="o", capsize=3)
        for name, x, y in zip(students, values, accuracies, strict=True):
            axes.annotate(name, (x, y), textcoords="offset points", xytext=(5, -12))
        axes.set(xscale="log", xlabel=label, ylabel="held-out accuracy", ylim=(0, 1))
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(file, dpi=120)


if __name__ == "__main__":
    run_stage(main)
