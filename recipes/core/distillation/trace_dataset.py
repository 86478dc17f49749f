"""The traces that SFT learns and measures the loss on: how long, in which order, of what."""

import hashlib
import itertools
import json
import logging
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from recipes.core.data.order import longest_first
from recipes.core.distillation.load_traces import LoadedTraces, TraceDatasetArguments
from recipes.core.distillation.sft_rows import count_tokens, question_of, template_options
from recipes.core.errors import UserError
from recipes.core.files import Row
from recipes.core.prompts.chat_template import render_conversation
from recipes.core.prompts.messages import prefilled_part

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedTokenizerBase
    from trl import SFTConfig, SFTTrainer

logger = logging.getLogger(__name__)

# Seed of transformers' BatchRebalanceSampler, whatever the key `seed` is.
REBALANCE_SEED = 42
IGNORED_LABEL = -100  # of tokens that the loss does not see


class PreparedTraces(NamedTuple):
    """What is learnt, what only measures the loss, and the tokens of the longest of all."""

    learnt: "Dataset"
    measured: "Dataset | None"
    longest: int


def prepare_traces(
    loaded: LoadedTraces,
    args: TraceDatasetArguments,
    tokenizer: "PreTrainedTokenizerBase",
    training_args: "SFTConfig",
) -> PreparedTraces:
    """Leaves long traces out, shuffles the others, and decides which of them measure the loss.

    Turns the evaluation off, in `training_args`, if there is nothing to measure.
    """
    # Shuffled by `seed` here, because transformers' `batch_rebalance` has a seed of its own.
    max_length, text_field = training_args.max_length, args.dataset_text_field
    traces = drop_long_traces(loaded.rows, tokenizer, max_length, text_field)
    longest = max(traces["trace_tokens"])
    traces = traces.shuffle(seed=training_args.seed)

    # The dataset's own test split, or traces of questions that are held out.
    if loaded.eval_rows is not None:
        measured = drop_long_traces(loaded.eval_rows, tokenizer, max_length, text_field)
        return PreparedTraces(traces, measured, max(longest, *measured["trace_tokens"]))
    traces, held_out = split_by_question(traces, args.held_out_traces, text_field)
    if held_out is None:
        _turn_evaluation_off(training_args)
    return PreparedTraces(traces, held_out, longest)


def _turn_evaluation_off(training_args: "SFTConfig") -> None:
    """Raises `UserError` if the best checkpoint is wanted, which only an evaluation can tell."""
    remedy = "write `held_out_traces: 0.02`, or the `dataset_test_split` of a dataset"
    if training_args.load_best_model_at_end:
        raise UserError(f"load_best_model_at_end: there is nothing to measure; {remedy}")
    if training_args.eval_strategy != "no":
        logger.warning("eval_strategy: there is nothing to measure; %s", remedy)
    training_args.eval_strategy = "no"


def drop_long_traces(
    rows: "Dataset",
    tokenizer: "PreTrainedTokenizerBase",
    max_length: int | None,
    text_field: str = "text",
) -> "Dataset":
    """The rows that have at most `max_length` tokens as a whole; logs how many do not.

    The number of tokens is kept in the column `trace_tokens`.
    """
    lengths = [count_tokens(row, tokenizer, text_field) for row in _records(rows)]
    longest = max(lengths)

    # Leave long traces out whole: one that was cut would teach the student never to end.
    kept = []
    for number, tokens in enumerate(lengths):
        if max_length is None or tokens <= max_length:
            kept.append(number)
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
    # The lengths order the traces later, and tell the longest one.
    measured = rows.add_column("trace_tokens", lengths)
    return measured if len(kept) == len(rows) else measured.select(kept)


def split_by_question(
    traces: "Dataset", fraction: float, text_field: str = "text"
) -> tuple["Dataset", "Dataset | None"]:
    """The traces to learn, and those of a fraction of the questions, at least one of them.

    Which questions are held out depends only on their text. `None` if `fraction` is 0, or if there
    is only one question.
    """
    if not 0 <= fraction < 1:
        raise UserError(
            f"held_out_traces is {fraction}; write a fraction of the questions, from 0 to below 1"
        )

    # A hash of the question decides, so that the same questions are held out in every run.
    hashes = []
    for row in _records(traces):
        question = json.dumps(question_of(row, text_field))
        hashes.append(hashlib.sha256(question.encode()).hexdigest())
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


def _records(rows: "Dataset") -> Iterator[Row]:
    """The rows one by one, as the type checker should see them."""
    for row in rows:
        assert isinstance(row, dict)
        yield row


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
    of a packed row its first trace, which may be any of `traces`. Conversations, texts and replies
    of several turns are not: what the loss sees of them is up to TRL.
    """
    if not trainer.completion_only_loss or not _is_one_reply(next(iter(traces))):
        return
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
        if has_end and seen.split() == _completion_text(trace, tokenizer).split():
            return
    trace_text = _completion_text(next(iter(traces)), tokenizer)
    raise UserError(
        f"chat_template: it turns the trace {trace_text[:80]!r} into the target {target[:80]!r}; "
        "write `chat_template: r1_zero.jinja`"
    )


def _is_one_reply(row: Row) -> bool:
    """Whether the completion is a text, or a single message that has nothing but a text."""
    completion = row.get("completion")
    if isinstance(completion, str):
        return True
    if not completion or len(completion) > 1:
        return False
    message = completion[0]
    return isinstance(message["content"], str) and not message.get("tool_calls")


def _completion_text(row: Row, tokenizer: "PreTrainedTokenizerBase") -> str:
    completion = row["completion"]
    if isinstance(completion, str):
        return completion.removesuffix(str(tokenizer.eos_token))
    return str(completion[0]["content"])


def _prefilled_part(row: Row, tokenizer: "PreTrainedTokenizerBase") -> str:
    prompt = row["prompt"]
    if not isinstance(prompt, str):
        options = template_options(row)
        prompt = render_conversation(tokenizer, prompt, add_generation_prompt=True, **options)
    return prefilled_part(prompt)
