"""Draws the picture of a run: how its rewards rose during GRPO, and how each model scores.

    python -m recipes.tools.curves --recipe arithmetic --output docs/images/demo.png

Reads    rollouts/train.jsonl and scores.json of the run
Writes   one PNG
"""

import argparse
import logging
import statistics
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recipes.core.data.benchmarks import HELD_OUT
from recipes.core.errors import UserError
from recipes.core.evaluation.markdown import format_parameters
from recipes.core.evaluation.score_book import ModelScores
from recipes.core.files import read_jsonl
from recipes.core.runs.manifest import read_manifest
from recipes.core.runtime.entrypoint import run_stage

if TYPE_CHECKING:
    from matplotlib.axes import Axes

logger = logging.getLogger(__name__)

Curves = dict[str, dict[int, float]]  # mean of each reward, by step

WINDOW = 5  # steps that the bold line averages
LABEL_GAP = 0.07  # smallest distance of two labels, as a fraction of the axis

# The look: readable at a width of 900 pixels, on a white page.
COLOURS = ("#2f6fde", "#e07b2f", "#2f9468", "#8a5fc7")
GREY = "#c3cad3"
LIGHT = "#e9edf2"
INK = "#1c2733"
SOFT_INK = "#5b6775"
STYLE: dict[Any, Any] = {
    "figure.constrained_layout.use": True,
    "figure.constrained_layout.wspace": 0.06,
    "font.size": 10.5,
    "text.color": INK,
    "axes.labelcolor": SOFT_INK,
    "axes.edgecolor": GREY,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 12,
    "axes.titleweight": "bold",
    "axes.titlepad": 12,
    "axes.axisbelow": True,
    "xtick.color": SOFT_INK,
    "ytick.color": SOFT_INK,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
}


def main() -> None:
    args = parse_arguments()
    run_dir = args.run_dir or Path("outputs") / args.recipe
    # Both files come out of a run of all stages.
    curves = read_curves(run_dir / "rollouts/train.jsonl")
    scores = read_manifest(run_dir / "scores.json").get(HELD_OUT, {}).get("models", {})
    if not curves or not scores:
        raise UserError(
            f"{run_dir}: has no rollouts/train.jsonl or no scores.json; "
            f"run `make demo RECIPE={args.recipe}` first"
        )
    draw(curves, scores, args.output)
    logger.info("curves: wrote %s", args.output)


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        "python -m recipes.tools.curves",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--recipe", default="arithmetic")
    parser.add_argument("--run_dir", type=Path, help="default: outputs/<recipe>")
    parser.add_argument("--output", type=Path, default=Path("curves.png"))
    return parser.parse_args()


def read_curves(file: Path) -> Curves:
    """The mean of each reward at each step; completions that could not be scored are left out."""
    values: dict[str, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    # The rewards of all completions of a step ...
    for rollout in read_jsonl(file):
        for name, reward in rollout["rewards"].items():
            if reward is not None:
                values[name][rollout["step"]].append(reward)
    # ... and their mean.
    curves: Curves = {}
    for name, steps in values.items():
        curves[name] = {step: statistics.mean(rewards) for step, rewards in steps.items()}
    return curves


def running_mean(values: list[float], window: int = WINDOW) -> list[float]:
    """The mean of each value and those before it, at most `window` of them."""
    means = []
    for end in range(1, len(values) + 1):
        means.append(statistics.mean(values[max(0, end - window) : end]))
    return means


def draw(curves: Curves, scores: dict[str, ModelScores], output: Path) -> None:
    """Rewards during training on the left, held-out accuracy with intervals on the right."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(STYLE):
        figure = Figure(figsize=(9, 3.7))
        left, right = figure.subplots(1, 2)
        draw_curves(left, curves)
        draw_scores(right, scores)
        output.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(output, dpi=180)


def draw_curves(axes: "Axes", curves: Curves) -> None:
    """A line per reward, labelled at its end: each step faint, the running mean bold."""
    # The lines, and where they end.
    ends: dict[str, float] = {}
    last_step = 0
    for colour, (name, by_step) in zip(COLOURS, curves.items(), strict=False):
        steps = list(by_step)
        means = running_mean(list(by_step.values()))
        axes.plot(steps, list(by_step.values()), color=colour, linewidth=1, alpha=0.3)
        axes.plot(steps, means, color=colour, linewidth=2.4, solid_capstyle="round")
        ends[name] = means[-1]
        last_step = max(last_step, steps[-1])

    # Accuracies are fractions of 1; a penalty may be negative.
    lowest = min(min(by_step.values()) for by_step in curves.values())
    axes.set_ylim(min(0.0, lowest), 1.08)

    # The names in the colours of the lines need no legend.
    bottom, top = axes.get_ylim()
    heights = spread(ends, LABEL_GAP * (top - bottom))
    for colour, name in zip(COLOURS, ends, strict=False):
        where = (last_step * 1.02, heights[name])
        axes.annotate(name, where, color=colour, va="center", weight="bold", annotation_clip=False)

    axes.grid(axis="y", color=LIGHT)
    axes.set_xlim(0, last_step)
    axes.set_xlabel(f"GRPO step (bold: mean of {WINDOW} steps)")
    axes.set_title("Mean reward during training")


def spread(heights: dict[str, float], gap: float) -> dict[str, float]:
    """The heights of labels, moved down from the highest one until none overlap."""
    # From the top, so that a label only ever gives way to those above it.
    moved: dict[str, float] = {}
    ceiling = float("inf")
    for name in sorted(heights, key=lambda name: -heights[name]):
        moved[name] = min(heights[name], ceiling)
        ceiling = moved[name] - gap
    return moved


def draw_scores(axes: "Axes", scores: dict[str, ModelScores]) -> None:
    """A bar per model: base models grey, trained ones in colour, each with its interval."""
    # Bars, their intervals, and the accuracy above both.
    ticks = []
    for index, (name, score) in enumerate(scores.items()):
        accuracy = score["accuracy"]
        low, high = score["ci95"]
        colour = GREY if name.endswith("base") else COLOURS[0]
        axes.bar(index, accuracy, color=colour, width=0.62)
        error = [[accuracy - low], [high - accuracy]]
        axes.errorbar(index, accuracy, yerr=error, color=INK, capsize=4, linewidth=1.3)
        axes.text(index, high + 0.025, f"{accuracy:.3f}", ha="center", weight="bold")
        ticks.append(f"{name.replace('_', ' ')}\n{format_parameters(score.get('parameters'))}")

    # The numbers above the bars replace the axis.
    axes.set_ylim(0, 1.08)
    axes.set_yticks([])
    axes.set_xticks(range(len(scores)), ticks)
    axes.set_title("Held-out accuracy, 95 % interval")


if __name__ == "__main__":
    run_stage(main)
