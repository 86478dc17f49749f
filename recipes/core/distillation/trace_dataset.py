"""What SFT learns of the traces: which of them, in which order, and what the loss sees of each."""

import hashlib
import json
import logging
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trl import ScriptArguments

from recipes.core.data.order import longest_first
from recipes.core.data.sources import load_split
from recipes.core.errors import UserError
from recipes.core.files import read_jsonl
from recipes.core.prompts.messages import render_prompt

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedTokenizerBase
    from trl import SFTConfig

logger = logging.getLogger(__name__)


@dataclass
class TraceDatasetArguments(ScriptArguments):
    """Keys that say which traces are learned."""

    traces: str | None = field(
        default=None,
        metadata={"help": "File that `generate` left. Default: traces.jsonl of the run."},
    )
    max_train_samples: int | None = field(
        default=None, metadata={"help": "Use only the first so many traces."}
    )
    held_out_traces: float = field(
        default=0.0, metadata={"help": "Share of the questions whose traces only measure the loss."}
    )


def drop_long_traces(
    rows: list[dict[str, Any]], tokenizer: "PreTrainedTokenizerBase", max_length: int | None
) -> "Dataset":
    """The rows whose whole conversation fits into `max_length` tokens, as a dataset; says how many do not."""
    from datasets import Dataset

    lengths = trace_lengths(rows, tokenizer)
    fitting = [
        row
        for row, tokens in zip(rows, lengths, strict=True)
        if max_length is None or tokens <= max_length
    ]
    if not fitting:
        raise UserError(
            f"max_length: all {len(rows)} traces are longer than {max_length} tokens (longest {max(lengths)}); raise it"
        )
    if len(fitting) < len(rows):
        logger.warning(
            "max_length: %d of %d traces are longer than %d tokens (longest %d) and are left out",
            len(rows) - len(fitting), len(rows), max_length, max(lengths),
        )  # fmt: skip
    return Dataset.from_list(fitting)


def trace_lengths(
    rows: Iterable[dict[str, Any]], tokenizer: "PreTrainedTokenizerBase"
) -> list[int]:
    """The tokens of each whole conversation."""

    def length(row: dict[str, Any]) -> int:
        if isinstance(row["prompt"], str):
            return len(tokenizer(row["prompt"] + row["completion"])["input_ids"]) + 1
        text = tokenizer.apply_chat_template(row["prompt"] + row["completion"], tokenize=False)
        return len(tokenizer(text, add_special_tokens=False)["input_ids"])

    return [length(row) for row in rows]


def split_by_question(traces: "Dataset", share: float) -> tuple["Dataset", "Dataset | None"]:
    """The traces to learn, and those of a share of the questions (at least one of them, if the share is not 0). Which ones depends
    on their text alone. `None` if there is but one question."""
    keys = [hashlib.sha256(json.dumps(prompt).encode()).hexdigest() for prompt in traces["prompt"]]
    questions = sorted(set(keys))
    if not 0 <= share < 1:
        raise UserError(
            f"held_out_traces is {share}; write a share of the questions, from 0 to below 1"
        )
    if not share or len(questions) == 1:
        return traces, None
    chosen = set(questions[: min(max(1, round(share * len(questions))), len(questions) - 1)])
    places: tuple[list[int], list[int]] = ([], [])
    for place, key in enumerate(keys):
        places[key in chosen].append(place)
    return traces.select(places[0]), traces.select(places[1])


def longest_traces_first(
    traces: "Dataset", tokenizer: "PreTrainedTokenizerBase", training_args: "SFTConfig"
) -> "Dataset":
    """The traces in such an order that the first step is of the longest ones."""
    if training_args.packing:  # every row is full
        return traces
    strategy = training_args.train_sampling_strategy
    if strategy not in ("batch_rebalance", "sequential"):
        raise UserError(
            f"longest_first: goes with train_sampling_strategy batch_rebalance or sequential, not {strategy}"
        )
    batch = (
        training_args.per_device_train_batch_size
        * training_args.world_size
        * training_args.gradient_accumulation_steps
    )
    seed = 42 if strategy == "batch_rebalance" else None  # transformers' own, whatever `seed` says
    return longest_first(traces, trace_lengths(traces, tokenizer), min(batch, len(traces)), seed)


def check_first_target(
    tokenized: dict[str, Any],
    traces: Iterable[dict[str, Any]],
    tokenizer: "PreTrainedTokenizerBase",
) -> None:
    """Raises `UserError` if what the loss sees of a row is not one of the traces and the end of the turn: some chat templates
    rewrite or drop what stands in think tags. Of a packed row, the first trace is looked at."""
    labels = (
        tokenized["labels"][: tokenized["seq_lengths"][0]]
        if "seq_lengths" in tokenized
        else tokenized["labels"]
    )
    targets = [token for token in labels if token != -100]
    text = str(
        tokenizer.decode([token for token in targets if token not in tokenizer.all_special_ids])
    ).strip()
    known = []
    for row in traces:
        prompt = (
            row["prompt"]
            if isinstance(row["prompt"], str)
            else render_prompt(tokenizer, row["prompt"])
        )
        prefilled = "<think>" if prompt.rstrip().endswith("<think>") else ""
        known.append(
            row["completion"]
            if isinstance(row["completion"], str)
            else row["completion"][-1]["content"]
        )
        if (prefilled + text).split() == known[-1].split() and tokenizer.eos_token_id in targets:
            return
    raise UserError(
        f"chat_template: it turns the trace {known[0][:80]!r} into the target {text[:80]!r}; write `chat_template: r1_zero.jinja`"
    )


def load_traces(args: TraceDatasetArguments, run_dir: Path) -> tuple[str, list[dict[str, Any]]]:
    """Where the traces come from, and rows of `prompt` and `completion` (both messages).

    `dataset_name` may name a dataset of TRL's prompt-completion type to learn instead; one that has no `completion` column
    is taken as the questions that the traces answer.
    """
    if args.dataset_name:
        dataset = load_split(args, args.dataset_train_split)
        if {"prompt", "completion"} <= set(dataset.column_names):
            rows = [{"prompt": row["prompt"], "completion": row["completion"]} for row in dataset]
            return args.dataset_name, rows[: args.max_train_samples]
    file = Path(args.traces or run_dir / "traces.jsonl")
    if not file.is_file():
        raise UserError(
            f"traces: there is no file {str(file)!r}; run recipes/generate.py first, or name one"
        )
    rows = read_jsonl(file)
    if not rows:
        raise UserError(f"{file}: holds no rows, so there is nothing to learn")
    return str(file), [
        {
            "prompt": row["prompt"],
            "completion": [{"role": "assistant", "content": row["completion"]}],
        }
        for row in rows[: args.max_train_samples]
    ]
