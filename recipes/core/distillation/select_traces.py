"""Which of a teacher's generations become targets? Rejection sampling by the one verdict, and then by what students suffer from."""

import random
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from recipes.core.data.decontaminate import (
    CONTAMINATION_NGRAM,
    contamination_index,
    normalize_words,
    word_ngrams,
)
from recipes.core.errors import UserError
from recipes.core.files import Row
from rewards.shaping.language_consistency import Language
from rewards.shaping.repetition import Repetition

NEAR_DUPLICATE = 0.8  # Jaccard similarity of word 5-grams from which a second trace is a copy
MIN_LANGUAGE_SHARE = 0.9
TRACE_CHOICES = ("first", "shortest", "random", "diverse")


@dataclass
class TraceArguments:
    """Keys that say which generations are kept."""

    max_traces: int | None = field(
        default=None, metadata={"help": "At most so many traces a question."}
    )
    trace_choice: str = field(
        default="first", metadata={"help": f"Which ones: {', '.join(TRACE_CHOICES)}."}
    )
    max_trace_tokens: int | None = field(
        default=None, metadata={"help": "Leave out longer ones; small students want short ones."}
    )
    short_share: float | None = field(
        default=None,
        metadata={
            "help": "Share of the shorter half among the traces: a mix for small students, such as 0.8."
        },
    )
    max_repetition: float = field(
        default=0.5,
        metadata={"help": "Leave out traces that repeat more than this share of 4-grams."},
    )
    trace_language: str | None = field(
        default=None, metadata={"help": "Leave out traces in other languages, such as `en`."}
    )
    decontaminate: bool = field(
        default=True, metadata={"help": "Leave out questions that are in the held-out split, too."}
    )

    def __post_init__(self) -> None:
        if self.trace_choice not in TRACE_CHOICES:
            raise ValueError(
                f"trace_choice is {self.trace_choice!r}; write one of {', '.join(TRACE_CHOICES)}"
            )
        if self.max_traces is not None and self.max_traces < 1:
            raise ValueError(f"max_traces is {self.max_traces}; write 1 or more, or null for all")
        if self.short_share is not None and not 0 <= self.short_share <= 1:
            raise ValueError(
                f"short_share is {self.short_share}; write a share from 0 to 1, or null for all traces"
            )


def select_traces(
    rows: Sequence[Row], args: TraceArguments, held_out: Iterable[str], seed: int
) -> tuple[list[Row], dict[str, int]]:
    """The generations to learn from, in their order, and how many passed each step.

    Args:
        rows: with `key` and `question`, `completion`, `tokens`, `finished`, `verdict` and `format`.
        held_out: questions that no trace may answer: neither the same text nor thirteen words in a row (as GPT-3 was
            decontaminated, arXiv 2005.14165, appendix C).
    """
    repetition, language = (
        Repetition(),
        Language(args.trace_language) if args.trace_language else None,
    )
    steps = {
        "finished": lambda row: row["finished"],
        "right": lambda row: row["verdict"] == 1.0,
        "well_formed": lambda row: row["format"] == 1.0,
        "short_enough": lambda row: (
            args.max_trace_tokens is None or row["tokens"] <= args.max_trace_tokens
        ),
        "not_repetitive": lambda row: -repetition(row["completion"]) <= args.max_repetition,
        "in_language": lambda row: (
            language is None or language(row["completion"]) >= MIN_LANGUAGE_SHARE
        ),
    }
    left, funnel = list(rows), {"generated": len(rows)}
    for name, passes in steps.items():
        left = [row for row in left if passes(row)]
        funnel[name] = len(left)
    texts, ngrams = contamination_index(held_out)
    left = [
        row
        for row in left
        if normalize_words(row["question"]) not in texts
        and not word_ngrams(row["question"], CONTAMINATION_NGRAM) & ngrams
    ]
    funnel["not_held_out"] = len(left)
    questions: dict[str, list[Row]] = defaultdict(list)
    for row in left:
        questions[row["key"]].append(row)
    unique = {key: _drop_near_duplicates(samples) for key, samples in questions.items()}
    funnel["unique"] = sum(map(len, unique.values()))
    chosen = [
        row
        for key, samples in unique.items()
        for row in _choose_samples(samples, args, random.Random(f"{seed} {key}"))
    ]
    funnel["chosen"] = len(chosen)
    mixed = (
        chosen
        if args.short_share is None
        else _mix_lengths(chosen, args.short_share, random.Random(seed))
    )
    funnel["kept"] = len(mixed)
    return mixed, funnel


def require_traces(file: Any, funnel: dict[str, int]) -> None:
    """Raises `UserError` if nothing is kept, saying where it was lost."""
    if not funnel["kept"]:
        steps = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in funnel.items())
        raise UserError(
            f"{file}: no generation can be kept ({steps}), so there is nothing to distil. Train the policy longer, draw more "
            "samples (`num_generations`), raise `max_completion_length`, or use a stronger `model_name_or_path`"
        )


def _choose_samples(samples: list[Row], args: TraceArguments, rng: random.Random) -> list[Row]:
    most = args.max_traces or len(samples)
    if most >= len(samples):
        return samples
    match args.trace_choice:
        case "shortest":
            return sorted(samples, key=lambda row: row["tokens"])[:most]
        case "random":
            return rng.sample(samples, most)
        case "diverse":  # each is the one that is least like those chosen before it
            chosen = [samples[0]]
            while len(chosen) < most:
                rest = [row for row in samples if not any(row is other for other in chosen)]
                chosen.append(
                    min(rest, key=lambda row: max(_similarity(row, other) for other in chosen))
                )
            return chosen
    return samples[:most]


def _mix_lengths(rows: list[Row], short_share: float, rng: random.Random) -> list[Row]:
    """As many rows as can be, `short_share` of them no longer than the median. Small students learn more from mostly short traces
    with some long ones than from either alone (arXiv 2502.12143, which takes four to one)."""
    if not rows:
        return rows
    median = sorted(row["tokens"] for row in rows)[(len(rows) - 1) // 2]
    halves = [
        [i for i, row in enumerate(rows) if (row["tokens"] <= median) == short]
        for short in (True, False)
    ]
    shares = (short_share, 1 - short_share)
    total = min(len(half) / share for half, share in zip(halves, shares, strict=True) if share)
    places = sorted(
        i
        for half, share in zip(halves, shares, strict=True)
        for i in rng.sample(half, round(total * share))
    )
    return [rows[i] for i in places]


def _drop_near_duplicates(samples: list[Row]) -> list[Row]:
    unique: list[Row] = []
    for row in samples:
        if all(_similarity(row, other) < NEAR_DUPLICATE for other in unique):
            unique.append(row)
    return unique


def _similarity(a: Row, b: Row) -> float:
    """The Jaccard similarity of two completions' word 5-grams (of their whole texts, where they are shorter)."""
    if normalize_words(a["completion"]) == normalize_words(b["completion"]):
        return 1.0
    first, second = word_ngrams(a["completion"], 5), word_ngrams(b["completion"], 5)
    return len(first & second) / len(first | second) if first and second else 0.0
