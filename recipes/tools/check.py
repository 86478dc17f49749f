"""Checks a recipe before it is trained: audits its rewards on completions that cheat.

    python -m recipes.tools.check --config recipes/gsm8k/grpo.yaml

Writes what the recipe's rewards pay to the ideal completion and to some thirty others. The exit
code is 1 if one of them is paid.
"""

import argparse
import sys

from recipes.core.config import load_config, reward_entries
from recipes.core.runtime.entrypoint import run_stage
from recipes.grpo import STAGE
from rewards.audit import Audit, audit_rewards


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
    return audit_rewards(reward_entries(config))


if __name__ == "__main__":
    run_stage(main)
