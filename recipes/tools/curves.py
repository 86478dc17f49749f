"""Draws the picture of a run: how its rewards rose during GRPO, and what each model scores.

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
from recipes.core.files import read_jsonl
from recipes.core.runs.manifest import read_manifest
from recipes.core.runtime.entrypoint import run_stage

if TYPE_CHECKING:
    from matplotlib.axes import Axes

logger = logging.getLogger(__name__)

Curves = dict[str, dict[int, float]]  # mean of each reward by step

COLOURS = ("#2f6fde", "#e2813a", "#3c9d6b", "#8a5fc7")
GREY = "#b8c1cc"
INK = "#1c2733"


def main() -> None:
    args = parse_arguments()
    run_dir = args.run_dir or Path("outputs") / args.recipe
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
    for rollout in read_jsonl(file):
        for name, reward in rollout["rewards"].items():
            if reward is not None:
                values[name][rollout["step"]].append(reward)
    curves: Curves = {}
    for name, steps in values.items():
        curves[name] = {step: statistics.mean(rewards) for step, rewards in steps.items()}
    return curves


def draw(curves: Curves, scores: dict[str, dict[str, Any]], output: Path) -> None:
    """Rewards during training on the left, held-out accuracy with intervals on the right."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.4), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    draw_curves(left, curves)
    draw_scores(right, scores)
    for axes in (left, right):
        axes.set_ylim(0, 1.05)
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="y", color="#e6eaef", linewidth=0.8)
        axes.set_axisbelow(True)
    output.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(output, dpi=130)


def draw_curves(axes: "Axes", curves: Curves) -> None:
    """One line per reward, labelled at its end."""
    for colour, (name, steps) in zip(COLOURS, curves.items(), strict=False):
        axes.plot(list(steps), list(steps.values()), color=colour, linewidth=2, label=name)
    axes.legend(frameon=False, loc="lower right")
    axes.set_xlabel("GRPO step")
    axes.set_title("Rewards during training", loc="left", fontsize=11, color=INK)


def draw_scores(axes: "Axes", scores: dict[str, dict[str, Any]]) -> None:
    """One bar per model: base models grey, what was trained in colour."""
    for index, (name, score) in enumerate(scores.items()):
        low, high = score["ci95"]
        error = [[score["accuracy"] - low], [high - score["accuracy"]]]
        colour = GREY if name.endswith("base") else COLOURS[0]
        axes.bar(index, score["accuracy"], yerr=error, color=colour, capsize=4, width=0.6)
        label = f"{score['accuracy']:.2f}"
        axes.text(index, high + 0.02, label, ha="center", color=INK, fontsize=9)
    axes.set_xticks(range(len(scores)), [name.replace("_", " ") for name in scores])
    axes.set_title("Held-out accuracy (95 % interval)", loc="left", fontsize=11, color=INK)


if __name__ == "__main__":
    run_stage(main)
