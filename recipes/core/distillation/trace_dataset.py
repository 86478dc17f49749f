"""The traces that SFT learns: which ones, in which order, and what the loss sees of each."""

import hashlib
import itertools
import json
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from recipes.core.data.order import longest_first
from recipes.core.data.sources import SourceArguments, load_split
from recipes.core.errors import UserError
from recipes.core.files import Row, read_jsonl
from recipes.core.prompts.messages import prefilled_part, render_prompt

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedTokenizerBase
    from trl import SFTConfig, SFTTrainer

logger = logging.getLogger(__name__)

# Seed of transformers' BatchRebalanceSampler, whatever the key `seed` is.
REBALANCE_SEED = 42
IGNORED_LABEL = -100  # of tokens that the loss does not see


@dataclass
class TraceDatasetArguments(SourceArguments):
    """Keys that choose the traces to learn."""

    traces: str | None = None
    max_train_samples: int | None = None
    held_out_traces: float = 0.0


class LoadedTraces(NamedTuple):
    """Traces and the name of where they come from; a row has `prompt` and `completion`."""

    source: str
    rows: list[Row]


def load_traces(args: TraceDatasetArguments, run_dir: Path) -> LoadedTraces:
    """The traces of the run, or a dataset of TRL's prompt-completion type.

    A dataset without the column `completion` is taken for the questions that the traces answer.
    """
    # A dataset that has traces of its own.
    if args.dataset_name:
        dataset = load_split(args, args.dataset_train_split)
        if {"prompt", "completion"} <= set(dataset.column_names):
            pairs = dataset.select_columns(["prompt", "completion"])
            return LoadedTraces(args.dataset_name, pairs.to_list()[: args.max_train_samples])

    # The traces that `generate` wrote.
    file = Path(args.traces or run_dir / "traces.jsonl")
    if not file.is_file():
        raise UserError(
            f"traces: there is no file {str(file)!r}; run recipes/generate.py first, or name one"
        )
    samples = read_jsonl(file)
    if not samples:
        raise UserError(f"{file}: has no rows, so there is nothing to learn")

    # Keep only what the student learns from: the prompt and the completion.
    rows = []
    for sample in samples[: args.max_train_samples]:
        reply = [{"role": "assistant", "content": sample["completion"]}]
        rows.append({"prompt": sample["prompt"], "completion": reply})
    return LoadedTraces(str(file), rows)


def drop_long_traces(
    rows: list[Row], tokenizer: "PreTrainedTokenizerBase", max_length: int | None
) -> "Dataset":
    """The rows whose whole conversation has at most `max_length` tokens; logs how many do not.

    The number of tokens is kept in the column `trace_tokens`.
    """
    from datasets import Dataset

    # Leave long traces out whole: one that was cut would teach the student never to end.
    kept = []
    longest = 0
    for row in rows:
        tokens = count_tokens(row, tokenizer)
        longest = max(longest, tokens)
        if max_length is None or tokens <= max_length:
            kept.append(row | {"trace_tokens": tokens})
    if not kept:
        raise UserError(
            f"max_length: all {len(rows)} traces are longer than {max_length} tokens "
            f"(longest {longest}); raise it"
        )
    if len(kept) < len(rows):
        logger.warning(
            "max_length: %d of %d traces are longer than %d tokens (longest %d) and are left out",
            len(rows) - len(kept),
            len(rows),
            max_length,
            longest,
        )
    return Dataset.from_list(kept)


def count_tokens(row: Mapping[str, Any], tokenizer: "PreTrainedTokenizerBase") -> int:
    """The tokens of a row's whole conversation."""
    # Plain text, to which TRL adds the end-of-sequence token.
    if isinstance(row["prompt"], str):
        text = row["prompt"] + row["completion"]
        return len(tokenizer(text)["input_ids"]) + 1

    # Chat messages, to which the chat template adds everything.
    text = str(tokenizer.apply_chat_template(row["prompt"] + row["completion"], tokenize=False))
    return len(tokenizer(text, add_special_tokens=False)["input_ids"])


def split_by_question(traces: "Dataset", fraction: float) -> tuple["Dataset", "Dataset | None"]:
    """The traces to learn, and those of a fraction of the questions, at least one of them.

    Which questions are held out depends only on their text. `None` if `fraction` is 0, or if there
    is only one question.
    """
    if not 0 <= fraction < 1:
        raise UserError(
            f"held_out_traces is {fraction}; write a fraction of the questions, from 0 to below 1"
        )

    # A hash of the prompt decides, so that the same questions are held out in every run.
    hashes = []
    for prompt in traces["prompt"]:
        hashes.append(hashlib.sha256(json.dumps(prompt).encode()).hexdigest())
    questions = sorted(set(hashes))
    if fraction == 0 or len(questions) == 1:
        return traces, None

    # At least one question on either side.
    count = max(1, round(fraction * len(questions)))
    count = min(count, len(questions) - 1)
    held_out = set(questions[:count])
    learned_rows = [row for row, digest in enumerate(hashes) if digest not in held_out]
    held_out_rows = [row for row, digest in enumerate(hashes) if digest in held_out]
    return traces.select(learned_rows), traces.select(held_out_rows)


def longest_traces_first(traces: "Dataset", training_args: "SFTConfig") -> "Dataset":
    """Orders the traces so that the first step has the longest ones."""
    if training_args.packing:  # every row is full
        return traces

    # The order in which rows are read must be known in advance.
    strategy = training_args.train_sampling_strategy
    if strategy not in ("batch_rebalance", "sequential"):
        raise UserError(
            "longest_first: works with train_sampling_strategy batch_rebalance or sequential, "
            f"not {strategy}"
        )

    # The longest traces fill one step of all processes.
    batch = training_args.per_device_train_batch_size * training_args.world_size
    batch *= training_args.gradient_accumulation_steps
    seed = REBALANCE_SEED if strategy == "batch_rebalance" else None
    return longest_first(traces, min(batch, len(traces)), seed, column="trace_tokens")


def check_first_target(
    trainer: "SFTTrainer", traces: Iterable[Row], tokenizer: "PreTrainedTokenizerBase"
) -> None:
    """Raises `UserError` if the loss does not see exactly a trace and the end of the turn.

    Some chat templates rewrite or drop the text in think tags. Only the first row is checked, and
    of a packed row its first trace, which may be any of `traces`.
    """
    tokenized: Any = trainer.train_dataset
    row = tokenized[0]
    labels = row["labels"]
    candidates: Iterable[Row] = itertools.islice(traces, 1)
    if "seq_lengths" in row:
        labels = labels[: row["seq_lengths"][0]]
        candidates = traces

    # What the loss sees ...
    targets = [token for token in labels if token != IGNORED_LABEL]
    words = [token for token in targets if token not in tokenizer.all_special_ids]
    target = str(tokenizer.decode(words)).strip()
    has_end = tokenizer.eos_token_id in targets

    # ... against what it should see.
    for trace in candidates:
        seen = _prefilled_part(trace, tokenizer) + target
        if has_end and seen.split() == _completion_text(trace).split():
            return
    trace_text = _completion_text(next(iter(traces)))
    raise UserError(
        f"chat_template: it turns the trace {trace_text[:80]!r} into the target {target[:80]!r}; "
        "write `chat_template: r1_zero.jinja`"
    )


def _completion_text(row: Row) -> str:
    completion = row["completion"]
    if isinstance(completion, str):
        return completion
    return str(completion[-1]["content"])


def _prefilled_part(row: Row, tokenizer: "PreTrainedTokenizerBase") -> str:
    prompt = row["prompt"]
    if not isinstance(prompt, str):
        prompt = render_prompt(tokenizer, prompt)
    return prefilled_part(prompt)
