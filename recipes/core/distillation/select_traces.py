"""Selects traces among a teacher's samples.

First rejection sampling: only finished, correct and well-formed samples pass. Then what small
students suffer from is left out: long, repetitive or foreign text, and near-duplicates.
"""

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from recipes.core.data.decontaminate import find_contaminated, normalize_words, word_ngrams
from recipes.core.errors import UserError
from recipes.core.generation.types import Sample, group_by_question
from rewards.shaping.language_consistency import Language
from rewards.shaping.repetition import Repetition

TRACE_CHOICES = ("first", "shortest", "random", "diverse")
NEAR_DUPLICATE = 0.8  # similarity from which a second trace of a question adds nothing
SIMILARITY_NGRAM = 5  # words
MIN_LANGUAGE_FRACTION = 0.9

Funnel = dict[str, int]  # how many samples passed each step, in order


@dataclass
class TraceArguments:
    """Keys that decide which samples become traces."""

    max_traces: int | None = None
    trace_choice: str = "first"
    max_trace_tokens: int | None = None
    short_fraction: float | None = None
    max_repetition: float = 0.5
    trace_language: str | None = None
    decontaminate: bool = True

    def __post_init__(self) -> None:
        if self.trace_choice not in TRACE_CHOICES:
            raise ValueError(
                f"trace_choice is {self.trace_choice!r}; write one of {', '.join(TRACE_CHOICES)}"
            )
        if self.max_traces is not None and self.max_traces < 1:
            raise ValueError(
                f"max_traces is {self.max_traces}; write 1 or more, or null for all of them"
            )
        if self.short_fraction is not None and not 0 <= self.short_fraction <= 1:
            raise ValueError(
                f"short_fraction is {self.short_fraction}; write a number from 0 to 1, "
                "or null for all traces"
            )


class Selection(NamedTuple):
    """The traces, in the order of the samples, and the funnel that led to them."""

    traces: list[Sample]
    funnel: Funnel


def select_traces(
    samples: Sequence[Sample], args: TraceArguments, held_out: Iterable[str], seed: int
) -> Selection:
    """The samples that a student learns from.

    Args:
        held_out: evaluation questions, which no trace may answer.
        seed: of `trace_choice: random` and of the mix of lengths.
    """
    funnel = {"generated": len(samples)}

    # Filters on single samples: whether it is good enough to be learned.
    passed = list(samples)
    contaminated = find_contaminated((sample["question"] for sample in samples), held_out)
    for name, passes in _sample_filters(args, contaminated).items():
        passed = list(filter(passes, passed))
        funnel[name] = len(passed)

    # Filters on the samples of one question: no near-duplicates, at most `max_traces`.
    funnel["unique"] = 0
    chosen: list[Sample] = []
    for question_id, group in group_by_question(passed).items():
        unique = _drop_near_duplicates(group)
        funnel["unique"] += len(unique)
        chosen += _choose_samples(unique, args, random.Random(f"{seed} {question_id}"))
    funnel["chosen"] = len(chosen)

    # A filter on all of them: the mix of short and long traces.
    kept = chosen
    if args.short_fraction is not None:
        kept = _mix_lengths(chosen, args.short_fraction, random.Random(seed))
    funnel["kept"] = len(kept)
    return Selection(kept, funnel)


def require_traces(file: Path, funnel: Funnel) -> None:
    """Raises `UserError` with the funnel if no trace is left."""
    if funnel["kept"]:
        return
    raise UserError(
        f"{file}: no sample can be kept ({format_funnel(funnel)}), so there is nothing to distil. "
        "Train the policy longer, sample more (`num_generations`), raise `max_completion_length`, "
        "or use a stronger `model_name_or_path`"
    )


def format_funnel(funnel: Funnel) -> str:
    """`5184 generated, 5180 finished, ...`"""
    return ", ".join(f"{count} {step.replace('_', ' ')}" for step, count in funnel.items())


def _sample_filters(
    args: TraceArguments, contaminated: set[str]
) -> dict[str, Callable[[Sample], bool]]:
    """The filters on single samples by their name in the funnel, in order."""
    # Rewards measure what traces should not do; a repetition is a negative reward.
    repetition = Repetition()
    language = Language(args.trace_language) if args.trace_language else None

    def is_short_enough(sample: Sample) -> bool:
        return args.max_trace_tokens is None or sample["tokens"] <= args.max_trace_tokens

    def is_in_language(sample: Sample) -> bool:
        if language is None:
            return True
        return language(sample["completion"]) >= MIN_LANGUAGE_FRACTION

    return {
        "finished": lambda sample: sample["finished"],
        "right": lambda sample: sample["correct"] == 1.0,
        "well_formed": lambda sample: sample["format"] == 1.0,
        "short_enough": is_short_enough,
        "not_repetitive": lambda sample: -repetition(sample["completion"]) <= args.max_repetition,
        "in_language": is_in_language,
        "not_held_out": lambda sample: sample["question"] not in contaminated,
    }


class _Fingerprint:
    """The normalised text and the word n-grams of a completion, to compare it with others."""

    def __init__(self, sample: Sample) -> None:
        self.text = normalize_words(sample["completion"])
        self.ngrams = word_ngrams(sample["completion"], SIMILARITY_NGRAM)

    def similarity(self, other: "_Fingerprint") -> float:
        """The Jaccard similarity of the n-grams; texts without any are equal or not."""
        if self.text == other.text:
            return 1.0
        if not self.ngrams or not other.ngrams:
            return 0.0
        return len(self.ngrams & other.ngrams) / len(self.ngrams | other.ngrams)


def _drop_near_duplicates(samples: Sequence[Sample]) -> list[Sample]:
    """The samples of one question that are not too similar to one before them."""
    # Fingerprints are made once, not for every pair.
    kept: list[Sample] = []
    fingerprints: list[_Fingerprint] = []
    for sample in samples:
        fingerprint = _Fingerprint(sample)
        if all(fingerprint.similarity(other) < NEAR_DUPLICATE for other in fingerprints):
            kept.append(sample)
            fingerprints.append(fingerprint)
    return kept


def _choose_samples(
    samples: list[Sample], args: TraceArguments, rng: random.Random
) -> list[Sample]:
    """At most `max_traces` samples of one question, by `trace_choice`."""
    # Nothing to choose: the question has no more than that.
    if args.max_traces is None or args.max_traces >= len(samples):
        return samples
    if args.trace_choice == "shortest":
        return sorted(samples, key=lambda sample: sample["tokens"])[: args.max_traces]
    if args.trace_choice == "random":
        return rng.sample(samples, args.max_traces)
    if args.trace_choice == "diverse":
        return _choose_diverse(samples, args.max_traces)
    # `first`: the order in which they were sampled.
    return samples[: args.max_traces]


def _choose_diverse(samples: list[Sample], count: int) -> list[Sample]:
    """Starts with the first sample, and adds the one least similar to those chosen so far."""
    fingerprints = [_Fingerprint(sample) for sample in samples]
    chosen = [0]
    remaining = list(range(1, len(samples)))
    highest = [0.0] * len(samples)  # similarity to the nearest of those chosen so far
    while len(chosen) < count:
        # Only the sample chosen last can be nearer than those before it.
        for index in remaining:
            similarity = fingerprints[index].similarity(fingerprints[chosen[-1]])
            highest[index] = max(highest[index], similarity)
        farthest = min(remaining, key=highest.__getitem__)
        remaining.remove(farthest)
        chosen.append(farthest)
    return [samples[index] for index in chosen]


def _mix_lengths(samples: list[Sample], short_fraction: float, rng: random.Random) -> list[Sample]:
    """As many samples as possible, `short_fraction` of them no longer than the median.

    Small students learn more from mostly short traces with some long ones than from either alone
    (arXiv 2502.12143, which takes four to one).
    """
    if not samples:
        return samples

    # Split at the median, which belongs to the shorter half.
    lengths = sorted(sample["tokens"] for sample in samples)
    median = lengths[(len(lengths) - 1) // 2]
    short: list[int] = []
    long: list[int] = []
    for index, sample in enumerate(samples):
        half = short if sample["tokens"] <= median else long
        half.append(index)

    # The half that runs out first decides how many there are in all.
    parts = [(short, short_fraction), (long, 1 - short_fraction)]
    total = min(len(half) / fraction for half, fraction in parts if fraction)

    # Sample from both halves; the kept ones stay in their order.
    kept: list[int] = []
    for half, fraction in parts:
        kept += rng.sample(half, round(total * fraction))
    return [samples[index] for index in sorted(kept)]
