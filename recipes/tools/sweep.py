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
from typing import TYPE_CHECKING, NamedTuple

from recipes.core.data.benchmarks import HELD_OUT
from recipes.core.errors import UserError
from recipes.core.evaluation.markdown import (
    format_fraction,
    format_interval,
    format_parameters,
    markdown_table,
)
from recipes.core.evaluation.score_book import ModelScores
from recipes.core.preflight.model import check_model_path
from recipes.core.runs.manifest import read_manifest
from recipes.core.runtime.entrypoint import run_stage
from recipes.tools.stage_runner import recipe_folder, run_stage_command, training_cost

if TYPE_CHECKING:
    from matplotlib.axes import Axes

logger = logging.getLogger(__name__)


class Student(NamedTuple):
    """The held-out scores of a student, and what it cost.

    Attributes:
        answer_seconds: of one completion, sampled in batches.
        train_seconds: of its training.
    """

    name: str
    scores: ModelScores
    answer_seconds: float
    train_seconds: float


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

    # Train every student with the same keys on the same traces, and evaluate all of them together.
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


def read_students(out: Path, names: list[str]) -> list[Student]:
    """The students, smallest first."""
    # `evaluate` writes the scores into one file, and how long sampling took beside each model.
    scores = read_manifest(out / "scores.json")[HELD_OUT]["models"]
    students = []
    for name in sorted(names, key=lambda name: scores[name]["parameters"]):
        manifest = read_manifest(out / f"completions/{HELD_OUT}/{name}.manifest.json")
        student = Student(
            name,
            scores[name],
            answer_seconds=manifest["sampling"]["seconds_per_completion"],
            train_seconds=training_cost(out / name / "student").seconds,
        )
        students.append(student)
    return students


def table(students: list[Student]) -> str:
    """One line per student."""
    header = ["student", "parameters", "accuracy", "95 % interval", "format", "length"]
    header += ["ms per answer", "weights", "training"]
    # What it scores, and what it costs.
    rows = []
    for student in students:
        scores = student.scores
        rows.append(
            [
                student.name,
                format_parameters(scores["parameters"]),
                format_fraction(scores["accuracy"]),
                format_interval(scores["ci95"]),
                format_fraction(scores["format"]),
                f"{scores['mean_length']:.1f}",
                f"{1000 * student.answer_seconds:.2f}",
                f"{scores['weights_mb']} MB",
                f"{student.train_seconds:.0f} s",
            ]
        )
    return markdown_table(header, rows)


def plot(students: list[Student], file: Path) -> None:
    """Accuracy against parameters, against time per answer, and against memory of the weights."""
    from matplotlib.figure import Figure

    # Three panels, side by side, share the axis of accuracy.
    figure = Figure(figsize=(12, 4), layout="constrained")
    size, speed, memory = figure.subplots(1, 3, sharey=True)
    # One accuracy, seen against three costs.
    draw_panel(size, students, [student.scores["parameters"] for student in students], unit="")
    draw_panel(speed, students, [student.answer_seconds for student in students], unit="s")
    draw_panel(memory, students, [1e6 * one.scores["weights_mb"] for one in students], unit="B")
    size.set(xlabel="parameters", ylabel="held-out accuracy")
    speed.set_xlabel("time per answer, in batches")
    memory.set_xlabel("memory of the weights")
    figure.savefig(file, dpi=120)


def draw_panel(axes: "Axes", students: list[Student], costs: list[float], unit: str) -> None:
    """The accuracy of each student with its interval, against one kind of cost."""
    from matplotlib.ticker import EngFormatter, LogLocator, NullFormatter

    # matplotlib takes an interval as distances from the point.
    accuracies = [student.scores["accuracy"] for student in students]
    below = [student.scores["accuracy"] - student.scores["ci95"][0] for student in students]
    above = [student.scores["ci95"][1] - student.scores["accuracy"] for student in students]
    # Accuracies with the distances to both ends of their intervals.
    axes.errorbar(costs, accuracies, yerr=[below, above], marker="o", capsize=3)

    # Names below the points; the margins leave room for those at the edges.
    for student, cost, accuracy in zip(students, costs, accuracies, strict=True):
        offset = (0, -20)
        point = (cost, accuracy)
        axes.annotate(student.name, point, xytext=offset, textcoords="offset points", ha="center")
    axes.set(xscale="log", ylim=(0, 1.05))
    axes.margins(x=0.25)

    # Ticks read 500 k, 2 ms or 1 GB rather than powers of ten.
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(EngFormatter(unit))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.spines[["top", "right"]].set_visible(False)


if __name__ == "__main__":
    run_stage(main)
