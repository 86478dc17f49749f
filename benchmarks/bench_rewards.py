"""Compares the speed of the accuracy reward with that of `trl.rewards.accuracy_reward`.

    python -m benchmarks.bench_rewards [--completions 2000]

Both score the same completions in the same run, each completion once: gold answers as in GSM8K,
gold answers in LaTeX, gold answers as in MATH and in other mixes (wrong answers are right ones to
other questions), and a batch of 64 with 8 answers that are built to hang. Groups of 8 completions
share a question, as in GRPO; half of the answers are wrong.

Prints, for each of them, the ratio, and every completion that the two score differently.
"""

import argparse
import logging
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from benchmarks.math_cases import MATH, MIXED
from benchmarks.reward_cases import (
    BATCH_SIZE,
    LATEX,
    Case,
    generate_cases,
    generate_crossed_cases,
    generate_hanging_batch,
    integer,
)

Messages = list[dict[str, str]]

THINKING = (
    "Natalia sold 48/2 = 24 clips in May. "
    "Together she sold 48+24 = 72 clips in April and May, and so on. "
) * 3


class Measurement(NamedTuple):
    """The scores of one side, and the seconds that they took."""

    scores: list[float | None]
    seconds: float


def main() -> None:
    parser = argparse.ArgumentParser(
        "python -m benchmarks.bench_rewards",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--completions", type=int, default=2000)
    count = parser.parse_args().completions

    # The goals are those that the reward was written for.
    warm_up()
    compare("GSM8K-style gold answers", generate_cases([integer], count, seed=1), "goal: 50")
    compare("LaTeX gold answers", generate_cases(LATEX, count, seed=2), "goal: 8")
    hanging = generate_hanging_batch(seed=3)
    crossed = generate_crossed_cases(MATH, count, seed=4)
    compare("MATH-style gold answers", crossed, "goal: 5")
    mixed = generate_crossed_cases(MIXED, count, seed=5)
    compare("numbers, surds, intervals, polynomials, degrees", mixed, "goal: 20")
    compare("64 completions, 8 of them built to hang", hanging, "goal: ours under 5 s")


def warm_up() -> None:
    """Imports what both sides need and starts the first worker, so that neither is measured."""
    logging.getLogger("math_verify").setLevel(logging.CRITICAL)
    from math_verify import parse, verify

    verify(parse(r"$\frac{1}{2}$"), parse(r"$\sqrt{2}$"))
    score_ours([Case(r"\log_2 x", r"\int x", is_correct=False)])  # only math-verify can tell


def compare(name: str, cases: list[Case], goal: str) -> None:
    """Scores the cases with both rewards and prints what differs."""
    ours = score_ours(cases)
    theirs = score_with_trl(cases)

    # Scores that differ from each other, and those of ours that differ from how a case was made.
    different = []
    surprising = 0
    for case, our_score, their_score in zip(cases, ours.scores, theirs.scores, strict=True):
        surprising += bool(our_score) != case.is_correct
        if our_score != their_score:
            kind = "correct" if case.is_correct else "wrong"
            different.append(
                f"    gold {case.gold!r}, answer {case.answer[:60]!r}, generated as {kind}: "
                f"ours {our_score}, TRL {their_score}\n"
            )

    # The ratio first: it is what the goal is about.
    our_speed = len(cases) / ours.seconds
    their_speed = len(cases) / theirs.seconds
    sys.stdout.write(
        f"{name}: {theirs.seconds / ours.seconds:.1f} times as fast ({goal})\n"
        f"    ours {our_speed:,.0f} completions/s ({ours.seconds:.2f} s), "
        f"TRL {their_speed:,.0f} ({theirs.seconds:.2f} s)\n"
        f"    equal scores {1 - len(different) / len(cases):.2%}; "
        f"{surprising} of ours differ from how the answer was generated\n"
    )
    sys.stdout.write("".join(different))


def score_ours(cases: list[Case]) -> Measurement:
    """The scores of our accuracy reward, in batches of `BATCH_SIZE`."""
    from rewards import build_rewards

    (accuracy,), _ = build_rewards(["accuracy"])
    completions = make_completions(cases)
    golds = make_golds(cases)

    # As in training, where a call scores one batch.
    def score() -> list[float | None]:
        scores: list[float | None] = []
        for start in range(0, len(cases), BATCH_SIZE):
            batch = slice(start, start + BATCH_SIZE)
            scores += accuracy(completions=completions[batch], answer=golds[batch])
        return scores

    return measure(score)


def score_with_trl(cases: list[Case]) -> Measurement:
    """The scores of TRL's accuracy reward, which scores one completion after the other."""
    from trl.rewards import accuracy_reward

    completions = make_completions(cases)
    golds = make_golds(cases)
    return measure(lambda: accuracy_reward(completions=completions, solution=golds))


def measure(score: Callable[[], Any]) -> Measurement:
    """The scores, and how long they took."""
    started = time.perf_counter()
    scores = score()
    return Measurement(scores, time.perf_counter() - started)


def make_completions(cases: list[Case]) -> list[Messages]:
    """Well-formed completions with the answers of the cases in a box."""
    completions = []
    for case in cases:
        answer = rf"<answer>\boxed{{{case.answer}}}</answer>"
        content = f"<think>{THINKING}</think>{answer}"
        completions.append([{"role": "assistant", "content": content}])
    return completions


def make_golds(cases: list[Case]) -> list[str]:
    """The gold answers as TRL's reward needs them: in LaTeX's dollar signs."""
    return [f"${case.gold}$" for case in cases]


if __name__ == "__main__":
    main()
