"""Compares distillation with RL at equal compute: the small twin of DeepSeek-R1's Table 6.

    python -m recipes.tools.compare --recipe arithmetic [--seeds 42 1 2] [--jobs 2]

Three arms start from the same student base and get the same seconds of training and sampling
(arXiv 2501.12948, Table 6): RL only; distilled from the RL teacher, whose training counts too;
distilled half as long, and then RL.

Writes   outputs/<recipe>/compare/: compare.json, compare.md, compare.png, and each seed's run
Resumes  with what is missing when the same command is run again
"""

import argparse
import logging
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

from recipes.core.files import write_json
from recipes.core.runs.fingerprints import git_commit
from recipes.core.runtime.entrypoint import run_stage
from recipes.tools.compare_report import Arm, plot, table
from recipes.tools.compare_seed import ARMS, SeedRun
from recipes.tools.stage_runner import recipe_folder, share_cores

logger = logging.getLogger(__name__)


def main() -> None:
    args = parse_arguments()
    recipe = recipe_folder(args.recipe)
    out = (args.output_dir or Path("outputs") / recipe.name / "compare").absolute()
    runs = [SeedRun(recipe, out / f"seed{seed}", seed) for seed in args.seeds]

    # Train and evaluate every arm of every seed, several stages side by side.
    jobs = args.jobs or default_jobs(len(runs))
    share_cores(jobs)
    run_all(runs, jobs)

    # One document for programs, one table and one plot for people.
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
    """One stage per core, and no more than seeds; a GPU is not shared."""
    # The device file, because asking torch takes seconds.
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

        # The first stage that failed ends the comparison here.
        for arm in arms:
            arm.result()
        list(pool.map(SeedRun.evaluate, runs))


def collect_arms(runs: list[SeedRun]) -> dict[str, Arm]:
    """The results of all arms over all seeds."""
    # The scores have one entry per arm, under the names that `SeedRun.evaluate` gave the models.
    arms = {name: Arm() for name in ARMS}
    # Seed by seed, so that the seeds of all arms are in the same order.
    for run in runs:
        scores = run.scores()
        for name, cost in run.arm_costs().items():
            arms[name].add(scores[name], cost)
    return arms


if __name__ == "__main__":
    run_stage(main)
