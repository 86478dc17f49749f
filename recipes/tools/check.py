"""Checks a recipe before it is trained: audits its rewards on completions that cheat.

    python -m recipes.tools.check --config recipes/gsm8k/grpo.yaml

Writes what the recipe's rewards pay to the ideal completion, to some thirty others, and to answers
that only copy one of the recipe's own questions. The exit code is 1 if one of them is paid.
"""

import argparse
import sys
from typing import Any

from recipes.core.config import Config, load_config, reward_entries
from recipes.core.data import load_questions
from recipes.core.errors import UserError
from recipes.core.runtime.entrypoint import run_stage
from recipes.grpo import STAGE, GRPOArguments
from rewards.audit import Audit, audit_rewards

QUESTIONS = 10  # of the recipe that are tried


def main() -> None:
    parser = argparse.ArgumentParser(
        "python -m recipes.tools.check",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--config", default="recipes/defaults/grpo.yaml", help="a recipe's grpo.yaml"
    )
    args = parser.parse_args()

    # The table names every completion and its pay; the summary is the last line.
    audit = audit_recipe(args.config)
    sys.stdout.write(f"{audit.table()}{args.config}: {audit.summary()}\n")
    if audit.problems:
        sys.exit(1)


def audit_recipe(config_file: str) -> Audit:
    """Audits the rewards of a recipe's grpo.yaml."""
    config = load_config(STAGE, ["--config", config_file])
    return audit_rewards(reward_entries(config), _own_questions(config))


def _own_questions(config: Config) -> list[dict[str, Any]]:
    """The first rows of the recipe's dataset; none, with a word, where it is not to be had."""
    args = config.parse(GRPOArguments)
    try:
        questions = load_questions(args, args.dataset_train_split, QUESTIONS, needs_answer=False)
    except UserError as problem:
        sys.stderr.write(
            f"answers copied from the recipe's own questions are not tried: {problem}\n"
        )
        return []
    return list(questions)


if __name__ == "__main__":
    run_stage(main)
