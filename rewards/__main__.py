"""Scores completions and audits rewards on the command line, as training would.

    python -m rewards score --reward accuracy --reward repetition,ngram_words=3 rollouts.jsonl
    python -m rewards audit --reward accuracy --reward format,weight=0.2

`score` reads rows with `completion`, `answer` and any other columns, and writes one JSON line per
row. `audit` shows what the rewards pay to the ideal completion and to completions that cheat; its
exit code is 1 if one of them is paid.
"""

import argparse
import contextlib
import json
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from rewards import RewardError, RewardFunction, build_rewards, text_of
from rewards.audit import audit_rewards
from rewards.trl_adapter import call_reward_function

CHECK_COMMAND = "python -m recipes.tools.check --config"


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command; the exit code is 2 for a mistake of the user."""
    args = make_parser().parse_args(argv)
    # Scores go to stdout; messages must not mix with them.
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        if args.command == "score":
            return score(args.file, args.reward, args.tokenizer)
        return audit(args.reward, args.config)
    except RewardError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2


def make_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        "python -m rewards",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True)

    score_parser = commands.add_parser("score", help="score the rows of a JSONL file")
    score_parser.add_argument("--tokenizer", help="folder or hub id, for rewards that count tokens")
    score_parser.add_argument("file", type=Path, help="rows with a `completion`; - reads stdin")

    audit_parser = commands.add_parser("audit", help="show what rewards pay to a model that cheats")
    audit_parser.add_argument("--config", help=argparse.SUPPRESS)  # moved to recipes.tools.check

    # Both commands name rewards in the same way.
    for command_parser in (score_parser, audit_parser):
        command_parser.add_argument(
            "--reward",
            action="append",
            default=[],
            metavar="NAME[,key=value...]",
            help="may be repeated; keys are those of an entry of `rewards:`",
        )
    return parser


def score(file: Path, reward_options: Sequence[str], tokenizer: str | None) -> int:
    """Writes the scores of every row to stdout, and a summary of each reward to stderr."""
    entries = _parse_reward_options(reward_options)
    functions, _ = build_rewards(entries)
    rows = read_rows(file)
    columns = make_columns(rows, tokenizer)

    scores: dict[str, list[float | None]] = {}
    for entry, option, function in zip(entries, reward_options, functions, strict=True):
        # The same reward with other parameters is told apart by the whole option.
        name = option if entry["name"] in scores else entry["name"]
        scores[name] = score_and_summarize(name, function, columns)

    # Written at the end: a reward scores all rows at once.
    for index in range(len(rows)):
        row_scores = {name: values[index] for name, values in scores.items()}
        sys.stdout.write(json.dumps({"row": index, "rewards": row_scores}) + "\n")
    return 0


def score_and_summarize(
    name: str, function: RewardFunction, columns: dict[str, Any]
) -> list[float | None]:
    """The scores of one reward; writes their mean and the reward's metrics to stderr."""
    metrics: dict[str, float] = {}
    scores = call_reward_function(function, log_metric=metrics.__setitem__, **columns)

    # The summary: the mean, then what the reward measured itself.
    scored = [value for value in scores if value is not None]
    summary = {"mean": sum(scored) / len(scored) if scored else float("nan")}
    for key, value in metrics.items():
        if key.startswith("rewards/"):
            summary[key.rpartition("/")[2]] = value
    text = "  ".join(f"{key} {value:.3g}" for key, value in summary.items())
    sys.stderr.write(f"{name}: {text}\n")
    return scores


def audit(reward_options: Sequence[str], config: str | None) -> int:
    """Writes the table of the audit; returns 1 if something is paid that should not be."""
    if config is not None:
        raise RewardError(f"--config has moved; run: {CHECK_COMMAND} {config}")
    result = audit_rewards(_parse_reward_options(reward_options))
    sys.stdout.write(f"{result.table()}{result.summary()}\n")
    return 1 if result.problems else 0


def parse_reward_option(option: str) -> dict[str, Any]:
    """`overlong,max_tokens=512` as an entry of a recipe's `rewards:`."""
    name, *pairs = option.split(",")
    entry: dict[str, Any] = {"name": name}
    for pair in pairs:
        key, separator, value = pair.partition("=")
        if not separator:
            raise RewardError(f"--reward {option}: {pair!r} is not key=value")
        entry[key] = _parse_value(value)
    return entry


def _parse_value(text: str) -> Any:
    """A parameter as YAML reads it, and 1e-3 as a number, which PyYAML takes for text."""
    value = yaml.safe_load(text)
    if isinstance(value, str) and value[:1] in "+-.0123456789":
        with contextlib.suppress(ValueError):
            return float(value)
    return value


def _parse_reward_options(options: Sequence[str]) -> list[dict[str, Any]]:
    if not options:
        raise RewardError("no reward is given; write --reward accuracy")
    return [parse_reward_option(option) for option in options]


def read_rows(file: Path) -> list[dict[str, Any]]:
    """The rows of a JSONL file; `-` is stdin. Raises `RewardError` naming an unusable line."""
    try:
        text = sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RewardError(f"{file}: cannot be read: {error}") from error

    rows = []
    # Not splitlines(): a text inside a row may contain other line separators.
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise RewardError(f"{file}, line {number}: is not JSON: {error}") from error
        if not isinstance(row, dict) or "completion" not in row:
            raise RewardError(f"{file}, line {number}: has no `completion`")
        rows.append(row)
    if not rows:
        raise RewardError(f"{file}: holds no rows")
    return rows


def make_columns(rows: Sequence[dict[str, Any]], tokenizer: str | None) -> dict[str, Any]:
    """The rows as the columns with which TRL would call a reward."""
    names: dict[str, None] = {}  # in the order of their first appearance
    for row in rows:
        names |= dict.fromkeys(row)
    columns: dict[str, Any] = {name: [row.get(name) for row in rows] for name in names}

    # TRL uses the plural for these two.
    columns["completions"] = columns.pop("completion")
    columns["prompts"] = columns.get("prompt", [None] * len(rows))

    # The lengths of the completions, for rewards that depend on them.
    if tokenizer:
        from transformers import AutoTokenizer

        texts = [text_of(completion) for completion in columns["completions"]]
        columns["completion_ids"] = AutoTokenizer.from_pretrained(tokenizer)(texts)["input_ids"]
    return columns


if __name__ == "__main__":
    try:
        sys.exit(main())
    except BrokenPipeError:  # the reader, such as `head`, has closed the pipe
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
