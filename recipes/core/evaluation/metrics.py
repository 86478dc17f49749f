"""Metrics of one model's samples, and the paired test of two models.

Accuracies and intervals are over questions: samples of one question are not independent, so they
are averaged first.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypedDict

import numpy as np

from recipes.core.errors import UserError
from recipes.core.generation.types import Sample, group_by_question
from rewards.answers.normalize import normalize
from rewards.completion import parse_completion

ScoreName = Literal["correct", "format", "flexible"]

RESAMPLES = 10_000  # of every bootstrap interval and every sign-flip test


class Scores(TypedDict):
    """The scores of one model on one benchmark; rates are fractions of 1."""

    accuracy: float  # pass@1, strict: a correct answer in the right format
    ci95: list[float]  # the 95 % interval of `accuracy`
    flexible_accuracy: float  # the answer may appear anywhere after the thinking
    format: float  # well-formed samples
    accuracy_given_format: float | None  # of well-formed samples; None if there are none
    pass_at: dict[str, float]  # unbiased pass@k, by k
    majority: float | None  # of the most frequent answer; None with one sample per question
    mean_length: float  # tokens of a completion
    truncated: float  # completions that the model did not end
    n: int  # questions
    samples: int  # samples with a score
    unjudged: int  # samples without one, which all of the above leaves out


class PairedTest(TypedDict):
    """Whether two models differ on the questions that both answered."""

    difference: float  # accuracy of the second model minus that of the first
    ci95: list[float]  # the 95 % interval of `difference`
    p: float  # two-sided
    n: int  # questions


def summarize_scores(samples: Sequence[Sample], seed: int = 0) -> Scores:
    """The scores of one model's samples.

    Raises:
        UserError: there is no sample, or none with a score.
    """
    if not samples:
        raise UserError(
            "no completion came back, so there is nothing to score; "
            "check the endpoint and run again"
        )
    scored = [sample for sample in samples if sample["correct"] is not None]
    if not scored:
        raise UserError(
            "none of the gold answers can be scored; check `answer_pattern` and "
            "`correctness_reward`"
        )

    # Accuracy: a question counts once, however many samples it has.
    groups = list(group_by_question(scored).values())
    accuracies = list(question_accuracy(scored).values())
    flexible = [_rate(group, "flexible") for group in groups]

    # Format: how much of a gain in accuracy is the tags alone.
    well_formed = [sample for sample in scored if sample["format"] == 1.0]
    given_format = None
    if well_formed:
        given_format = _rate(well_formed, "correct")

    # Several samples per question: pass@k up to the number that every question has.
    fewest = min(len(group) for group in groups)
    majority = None
    if fewest > 1:
        majority = _mean([majority_vote(group) for group in groups])

    return Scores(
        accuracy=_mean(accuracies),
        ci95=list(bootstrap_interval(accuracies, seed)),
        flexible_accuracy=_mean(flexible),
        format=_rate(scored, "format"),
        accuracy_given_format=given_format,
        pass_at=_pass_at_powers(groups, fewest),
        majority=majority,
        mean_length=_mean([sample["tokens"] for sample in scored]),
        truncated=_mean([not sample["finished"] for sample in scored]),
        n=len(groups),
        samples=len(scored),
        unjudged=len(samples) - len(scored),
    )


def question_accuracy(samples: Sequence[Sample]) -> dict[str, float]:
    """The fraction of correct samples of each question; samples without a score are left out."""
    scored = [sample for sample in samples if sample["correct"] is not None]
    accuracies = {}
    for question, group in group_by_question(scored).items():
        accuracies[question] = _rate(group, "correct")
    return accuracies


def pass_at_k(n: int, correct: int, k: int) -> float:
    """The probability that one of `k` samples is correct, given that `correct` of `n` are.

    Unbiased (arXiv 2107.03374, equation 1).
    """
    return 1.0 - math.comb(n - correct, k) / math.comb(n, k)


def majority_vote(samples: Sequence[Sample]) -> float:
    """Whether the most frequent answer of the well-formed samples is correct.

    The answer that was sampled first wins a tie.
    """
    # Answers vote by their normalised spelling: `\frac{1}{2}` and `$\dfrac{1}{2}$` are the same.
    answers = []
    scores = []
    for sample in samples:
        parsed = parse_completion(sample["completion"])
        if parsed:
            answers.append(normalize(parsed.answer))
            scores.append(sample["correct"])
    if not answers:
        return 0.0

    # `most_common` keeps the order of first appearance among equals.
    winner = Counter(answers).most_common(1)[0][0]
    return float(scores[answers.index(winner)] == 1.0)


def bootstrap_interval(values: Sequence[float], seed: int) -> tuple[float, float]:
    """The 95 % interval of the mean: percentiles of the means of bootstrap resamples."""
    return _percentiles(_resampled_means(np.asarray(values, dtype=float), seed))


def compare_paired(
    first: Mapping[str, float], second: Mapping[str, float], seed: int
) -> PairedTest:
    """Compares two models question by question with a two-sided sign-flip test.

    Args:
        first, second: `question_accuracy` of each model.
    """
    # Only questions that both answered; sorted, so that the order of the files changes nothing.
    questions = sorted(first.keys() & second.keys())
    differences = np.asarray([second[question] - first[question] for question in questions])
    observed = abs(differences.mean())

    # Under the null hypothesis it is chance which of the two models a result belongs to, so the
    # sign of every difference is random. p is how often that gives a mean as large as observed.
    rng = np.random.default_rng(seed)
    flipped = np.empty(RESAMPLES)
    for index in range(RESAMPLES):
        signs = rng.choice((-1, 1), len(questions))
        flipped[index] = abs((differences * signs).mean())
    as_large = int((flipped >= observed - 1e-12).sum())  # equal up to rounding counts as large

    return PairedTest(
        difference=float(differences.mean()),
        ci95=list(_percentiles(_resampled_means(differences, seed))),
        p=(1 + as_large) / (1 + RESAMPLES),
        n=len(questions),
    )


def _pass_at_powers(groups: Sequence[Sequence[Sample]], fewest: int) -> dict[str, float]:
    """pass@k for the powers of two up to the number of samples that every question has."""
    pass_at = {}
    k = 1
    # The estimate needs k samples of every question.
    while k <= fewest:
        # Averaged over questions, from all samples of each and not only from the first k.
        chances = []
        for group in groups:
            correct = sum(sample["correct"] == 1.0 for sample in group)
            chances.append(pass_at_k(len(group), correct, k))
        pass_at[str(k)] = _mean(chances)
        k *= 2
    return pass_at


def _resampled_means(values: "np.ndarray[Any, Any]", seed: int) -> "np.ndarray[Any, Any]":
    """The means of `RESAMPLES` resamples with replacement, one at a time to save memory."""
    rng = np.random.default_rng(seed)
    means = np.empty(RESAMPLES)
    for index in range(RESAMPLES):
        means[index] = values[rng.integers(0, len(values), len(values))].mean()
    return means


def _percentiles(means: "np.ndarray[Any, Any]") -> tuple[float, float]:
    """The 2.5th and the 97.5th."""
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)


def _rate(samples: Sequence[Sample], score: ScoreName) -> float:
    """The fraction of samples with a full score."""
    return _mean([sample[score] == 1.0 for sample in samples])


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
