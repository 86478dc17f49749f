"""Compares distillation with RL at equal compute: the small twin of DeepSeek-R1's Table 6.

    python -m recipes.tools.compare --recipe arithmetic [--seeds 42 1 2] [--jobs 2]

Three arms start from the same student base and get the same seconds of training and sampling
(arXiv 2501.12948, Table 6): RL alone; distilled from the RL teacher, whose training counts too;
distilled half as long, and then RL.

Writes   outputs/<recipe>/compare/: compare.json, compare.md, compare.png, and each seed's run
Resumes  with what is missing when the same command is run again
"""

import argparse
import logging
import os
import statistics
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from recipes.core.config.yaml_files import read_yaml
from recipes.core.evaluation.markdown import format_fraction, format_interval, markdown_table
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

# 97.5 % quantiles of Student's t distribution, for 2 to 10 seeds.
STUDENT_T_975 = (12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26)

# What is measured by the clock runs in one piece: a killed training starts from scratch.
NO_CHECKPOINTS = ("--save_strategy", "no")
NO_STEP_LIMIT = ("--max_steps", 10**6)

ARMS = ("student_base", "rl_only", "distilled", "distilled_then_rl", "teacher")


@dataclass(frozen=True)
class ArmCost:
    """What an arm cost, and the part of it that its teacher took: training and sampling traces."""

    total: Cost = field(default_factory=Cost)
    teacher_share: Cost = field(default_factory=Cost)


@dataclass
class Arm:
    """Results of one arm, a value per seed."""

    accuracy: list[float] = field(default_factory=list)
    flexible_accuracy: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)
    teacher_seconds: list[float] = field(default_factory=list)
    teacher_tokens: list[int] = field(default_factory=list)
    ci95: list[float] | None = None  # of the mean accuracy over seeds

    def add(self, scores: dict[str, Any], cost: ArmCost) -> None:
        """Adds the results of one seed."""
        self.accuracy.append(scores["accuracy"])
        self.flexible_accuracy.append(scores["flexible_accuracy"])
        self.seconds.append(cost.total.seconds)
        self.tokens.append(cost.total.tokens)
        self.teacher_seconds.append(cost.teacher_share.seconds)
        self.teacher_tokens.append(cost.teacher_share.tokens)
        self.ci95 = seed_interval(self.accuracy)


@dataclass(frozen=True)
class SeedRun:
    """All stages of one seed, in a folder of their own."""

    recipe: Path
    folder: Path
    seed: int

    @property
    def student(self) -> str:
        """The base model of every arm."""
        return str(read_yaml(self.recipe / "sft.yaml")["model_name_or_path"])

    def train_teacher(self) -> "TeachingCost":
        """Trains the teacher, samples its traces, and trains the student that learns them."""
        keys = ("--seed", self.seed, *NO_CHECKPOINTS)
        self._run("grpo", self.folder, *keys, done="policy/manifest.json")
        # Sampling is measured by the clock too: what an interrupted run left is removed.
        if read_manifest(self.folder / "traces.manifest.json").get("status") != "finished":
            for file in self.folder.glob("generations.*"):
                file.unlink()
        self._run("generate", self.folder, "--seed", self.seed, done="traces.manifest.json")
        self._run("sft", self.folder, *keys, done="student/manifest.json")
        return self.teaching_cost()

    def teaching_cost(self) -> "TeachingCost":
        """What the stages of `train_teacher` cost."""
        return TeachingCost(
            grpo=training_cost(self.folder / "policy"),
            generate=sampling_cost(self.folder / "generations.manifest.json"),
            sft=training_cost(self.folder / "student"),
        )

    def rl_only(self, seconds: float) -> None:
        """RL of the student's base for as long as the distilled student took in all."""
        self._reinforce("rl_only", self.student, seconds)

    def distill_then_rl(self, seconds: float) -> None:
        """Half of the epochs on the traces, and RL in the seconds of the other half."""
        epochs = float(read_yaml(self.recipe / "sft.yaml")["num_train_epochs"]) / 2
        keys = ("--seed", self.seed, *NO_CHECKPOINTS, "--num_train_epochs", epochs)
        traces = ("--traces", self.folder / "traces.jsonl")
        folder = self.folder / "then_rl"
        self._run("sft", folder, *keys, *traces, done="student/manifest.json")
        self._reinforce("then_rl", folder / "student", seconds)

    def evaluate(self) -> None:
        """Scores all arms on the held-out questions."""
        folder = self.folder
        models = (
            f"student_base={self.student}",
            f"rl_only={folder}/rl_only/policy",
            f"distilled={folder}/student",
            f"distilled_then_rl={folder}/then_rl/policy",
            f"teacher={folder}/policy",
        )
        keys = ("--seed", self.seed, "--eval_sets", "[]", "--models", *models)
        self._run("evaluate", folder, *keys, done="scores.manifest.json")

    def scores(self) -> dict[str, dict[str, Any]]:
        """The held-out scores by arm."""
        document = read_manifest(self.folder / "scores.json")
        return document["held_out"]["models"]

    def arm_costs(self) -> dict[str, ArmCost]:
        """What each arm cost."""
        teaching = self.teaching_cost()
        traces = teaching.grpo + teaching.generate
        then_rl = training_cost(self.folder / "then_rl/student")
        then_rl += training_cost(self.folder / "then_rl/policy")
        return {
            "student_base": ArmCost(),
            "rl_only": ArmCost(training_cost(self.folder / "rl_only/policy")),
            "distilled": ArmCost(traces + teaching.sft, teacher_share=traces),
            "distilled_then_rl": ArmCost(traces + then_rl, teacher_share=traces),
            "teacher": ArmCost(teaching.grpo, teacher_share=teaching.grpo),
        }

    def _reinforce(self, name: str, model: object, seconds: float) -> None:
        keys = ("--seed", self.seed, "--model_name_or_path", model)
        limits = ("--max_seconds", round(seconds, 1), *NO_STEP_LIMIT, *NO_CHECKPOINTS)
        self._run("grpo", self.folder / name, *keys, *limits, done="policy/manifest.json")

    def _run(self, stage: str, folder: Path, *keys: object, done: str) -> None:
        run_stage_command(stage, self.recipe, folder, *keys, done=folder / done)


@dataclass(frozen=True)
class TeachingCost:
    """What distillation cost, by stage."""

    grpo: Cost
    generate: Cost
    sft: Cost

    @property
    def total(self) -> Cost:
        """All three stages."""
        return self.grpo + self.generate + self.sft


def main() -> None:
    args = parse_arguments()
    recipe = recipe_folder(args.recipe)
    out = (args.output_dir or Path("outputs") / recipe.name / "compare").absolute()
    runs = [SeedRun(recipe, out / f"seed{seed}", seed) for seed in args.seeds]

    # Train and evaluate every arm of every seed, several stages side by side.
    jobs = args.jobs or default_jobs(len(runs))
    share_cores(jobs)
    run_all(runs, jobs)

    # One document, one table and one plot.
    arms = collect_arms(runs)
    document = {
        "recipe": recipe.name,
        "seeds": args.seeds,
        "arms": {name: asdict(arm) for name, arm in arms.items()},
        "git_commit": git_commit(),
    }
    write_json(out / "compare.json", document)
    text = table(arms)
    (out / "compare.md").write_text(text, encoding="utf-8")
    plot(arms, out / "compare.png")
    sys.stdout.write(text)
    logger.info("compare: wrote %s/compare.json, compare.md and compare.png", out)


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        "python -m recipes.tools.compare",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--recipe", default="arithmetic")
    parser.add_argument("--seeds", type=int, nargs="+", default=[42, 1, 2])
    parser.add_argument(
        "--jobs", type=int, help="stages side by side; default: one per core, one on a GPU"
    )
    parser.add_argument("--output_dir", type=Path, help="default: outputs/<recipe>/compare")
    return parser.parse_args()


def default_jobs(seeds: int) -> int:
    """One stage per core and seed; a GPU is not shared."""
    if Path("/dev/nvidiactl").exists():
        return 1
    return min(seeds, os.cpu_count() or 1)


def run_all(runs: list[SeedRun], jobs: int) -> None:
    """Runs all stages that are missing, `jobs` at a time."""
    with ThreadPoolExecutor(jobs) as pool:
        # The teachers first: their seconds are the budget of the other arms.
        teaching = [pool.submit(run.train_teacher) for run in runs]
        arms = []
        for run, teacher in zip(runs, teaching, strict=True):
            cost = teacher.result()
            arms.append(pool.submit(run.rl_only, cost.total.seconds))
            arms.append(pool.submit(run.distill_then_rl, cost.sft.seconds / 2))
        for arm in arms:
            arm.result()
        list(pool.map(SeedRun.evaluate, runs))


def collect_arms(runs: list[SeedRun]) -> dict[str, Arm]:
    """The results of all arms over all seeds."""
    arms = {name: Arm() for name in ARMS}
    for run in runs:
        scores = run.scores()
        for name, cost in run.arm_costs().items():
            arms[name].add(scores[name], cost)
    return arms


def seed_interval(values: list[float]) -> list[float] | None:
    """The 95 % interval of the mean over seeds by Student's t, within 0 and 1; `None` for one seed."""
    if len(values) < 2:
        return None
    quantile = STUDENT_T_975[min(len(values) - 2, len(STUDENT_T_975) - 1)]
    half = quantile * statistics.stdev(values) / len(values) ** 0.5
    mean = statistics.mean(values)
    return [max(0.0, mean - half), min(1.0, mean + half)]


def table(arms: dict[str, Arm]) -> str:
    """One line per arm, means over seeds."""
    header = ["model", "accuracy", "95 % interval", "each seed", "flexible"]
    header += ["seconds", "of the teacher", "tokens", "of the teacher"]
    rows = []
    for name, arm in arms.items():
        rows.append(
            [
                name,
                format_fraction(statistics.mean(arm.accuracy)),
                format_interval(arm.ci95) if arm.ci95 else "-",
                " / ".join(map(format_fraction, arm.accuracy)),
                format_fraction(statistics.mean(arm.flexible_accuracy)),
                f"{statistics.mean(arm.seconds):.0f}",
                f"{statistics.mean(arm.teacher_seconds):.0f}",
                f"{statistics.mean(arm.tokens) / 1e6:.2f} M",
                f"{statistics.mean(arm.teacher_tokens) / 1e6:.2f} M",
            ]
        )
    return markdown_table(header, rows)


def plot(arms: dict[str, Arm], file: Path) -> None:
    """Accuracy of each arm as a bar with its interval, and its single seeds as dots."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.2), layout="constrained")
    axes = figure.subplots()
    for index, (name, arm) in enumerate(arms.items()):
        mean = statistics.mean(arm.accuracy)
        error = None
        if arm.ci95:
            error = [[mean - arm.ci95[0]], [arm.ci95[1] - mean]]
        colour = "#9aa5b1" if name in ("student_base", "teacher") else "#2f6fde"
        axes.bar(index, mean, yerr=error, color=colour, capsize=4, width=0.6)
        seeds = [index + 0.16] * len(arm.accuracy)
        axes.scatter(seeds, arm.accuracy, color="#1c2733", s=14, zorder=3)
        axes.text(index, 0.02, f"{statistics.mean(arm.seconds):.0f} s", ha="center", color="white")
    axes.set_xticks(range(len(arms)), [name.replace("_", "\n") for name in arms])
    axes.set(ylabel="held-out accuracy", ylim=(0, 1.05))
    axes.set_title("Equal seconds of training and sampling; dots are single seeds", fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(file, dpi=120)


if __name__ == "__main__":
    run_stage(main)
