"""The rewards outside training, with the same verdicts.

    python -m rewards score --reward accuracy --reward overlong,max_tokens=512,cache_tokens=128 rollouts.jsonl
    python -m rewards audit --config recipes/gsm8k/grpo.yaml

`score` reads rows with `completion`, `answer` and any other columns, and writes one JSON line per row. `audit` shows what a
recipe's rewards pay to the ideal trace and to completions that cheat; its exit code is 1 if a wrong answer is paid.
"""

import argparse
import json
import logging
import os
import sys
from pathlib import Path
from typing import Any

import yaml

from rewards import RewardError, build_rewards
from rewards.audit import audit_rewards, audit_table, call


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        "python -m rewards",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = made.add_subparsers(dest="command", required=True)
    scorer = commands.add_parser("score", help="scores of the rows of a JSONL file")
    scorer.add_argument(
        "--reward",
        action="append",
        required=True,
        metavar="NAME[,key=value...]",
        help="may be given several times",
    )
    scorer.add_argument("--tokenizer", help="model folder or hub id, for rewards that count tokens")
    scorer.add_argument(
        "file", type=Path, help="rows with `completion`, `answer` ...; - is standard input"
    )
    auditor = commands.add_parser(
        "audit", help="what a recipe's rewards pay to completions that cheat"
    )
    auditor.add_argument(
        "--config", default="recipes/defaults/grpo.yaml", help="a recipe's grpo.yaml"
    )
    return made


def main() -> int:
    arguments = parser().parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        if arguments.command == "score":
            return score(arguments.file, arguments.reward, arguments.tokenizer)
        return audit_recipe(arguments.config)
    except ValueError as error:  # RewardError and the configuration's UserError
        sys.stderr.write(f"error: {error}\n")
        return 2


def score(file: Path, rewards: list[str], tokenizer: str | None) -> int:
    """Writes the scores of every row to standard output, and a summary of each reward to standard error."""
    entries = [_entry(text) for text in rewards]
    functions, _ = build_rewards(entries)
    rows = _rows(file)
    columns = {
        key: [row.get(key) for row in rows]
        for key in dict.fromkeys(key for row in rows for key in row)
    }
    completions = columns.pop("completion")
    columns["prompts"] = columns.get("prompt", [None] * len(rows))  # TRL's name for it
    if tokenizer:
        from transformers import AutoTokenizer

        from rewards import text_of

        columns["completion_ids"] = AutoTokenizer.from_pretrained(tokenizer)(
            [text_of(text) for text in completions]
        )["input_ids"]
    scores: dict[str, list[float | None]] = {}
    for entry, text, function in zip(entries, rewards, functions, strict=True):
        metrics: dict[str, float] = {}
        name = (
            text if entry["name"] in scores else entry["name"]
        )  # the same reward with other parameters
        scores[name] = call(
            function, completions=completions, log_metric=metrics.__setitem__, **columns
        )
        judged = [value for value in scores[name] if value is not None]
        summary = {"mean": sum(judged) / len(judged) if judged else float("nan")}
        summary |= {
            key.rpartition("/")[2]: value
            for key, value in metrics.items()
            if key.startswith("rewards/")
        }
        sys.stderr.write(
            f"{name}: " + "  ".join(f"{key} {value:.3g}" for key, value in summary.items()) + "\n"
        )
    for index in range(len(rows)):
        sys.stdout.write(
            json.dumps(
                {"row": index, "rewards": {name: values[index] for name, values in scores.items()}}
            )
            + "\n"
        )
    return 0


def audit_recipe(config: str) -> int:
    """Writes the table of a recipe's rewards; 1 if something is paid that should not be."""
    from recipes.core.config import load_config, reward_entries
    from recipes.grpo import STAGE

    entries = reward_entries(load_config(STAGE, ["--config", config]))
    names = [entry if isinstance(entry, str) else entry["name"] for entry in entries]
    cases = audit_rewards(*build_rewards(entries), names)
    problems = [case for case in cases if case.problem]
    sys.stdout.write(audit_table(cases, names))
    sys.stdout.write(f"{config}: {len(cases)} cases, {len(problems)} with a problem\n")
    return 1 if problems else 0


def _entry(text: str) -> dict[str, Any]:
    """`overlong,max_tokens=512` as the entry of a recipe."""
    name, *pairs = text.split(",")
    if bad := [pair for pair in pairs if "=" not in pair]:
        raise RewardError(f"--reward {text}: {bad[0]!r} is not key=value")
    return {"name": name} | {
        key: yaml.safe_load(value) for key, _, value in (pair.partition("=") for pair in pairs)
    }


def _rows(file: Path) -> list[dict[str, Any]]:
    try:
        lines = (sys.stdin if str(file) == "-" else file.open(encoding="utf-8")).read().split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise RewardError(f"{file}: cannot be read: {error}") from error
    rows = []
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line) if line.strip() else None
        except json.JSONDecodeError as error:
            raise RewardError(f"{file}, line {number}: is not JSON: {error}") from error
        if row is not None:
            if not isinstance(row, dict) or "completion" not in row:
                raise RewardError(f"{file}, line {number}: has no `completion`")
            rows.append(row)
    if not rows:
        raise RewardError(f"{file}: holds no rows")
    return rows


if __name__ == "__main__":
    try:
        sys.exit(main())
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
