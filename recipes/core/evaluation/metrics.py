"""What do completions say about models? Rates, intervals, and whether two models differ.

All of it is over questions: several samples of one question are not independent, so they are averaged first.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np

from recipes.core.errors import UserError
from recipes.core.files import Row
from rewards.answers.normalize import normalize
from rewards.completion import parse_completion

RESAMPLES = 10_000


def summarize_scores(rows: Sequence[Row], seed: int = 0) -> dict[str, Any]:
    """The scores of one model's completions, all as shares of 1.

    Args:
        rows: one per sample, with `key` (of the question), `completion`, `verdict` (strict: 0.0, 1.0 or `None`), `lenient`,
            `format`, `tokens` and `finished`. Rows that the verdict cannot judge are left out.

    Returns:
        `accuracy` (pass@1, strict), `ci95` (of it), `lenient_accuracy` (the answer may stand anywhere after the thinking),
        `format`, `accuracy_given_format` (`None` without a well-formed sample), `pass_at` (unbiased, by k), `majority` (of the most
        frequent answer; `None` with one sample), `mean_length` (tokens), `cut_off` (share that did not end), `n` (questions),
        `samples`, and `unjudged`.
    """
    judged = [row for row in rows if row["verdict"] is not None]
    if not rows:
        raise UserError(
            "no completion came back, so there is nothing to score; look at the endpoint, and start again"
        )
    if not judged:
        raise UserError(
            "the verdict cannot judge any of the gold answers; look at `answer_pattern` and `verdict`"
        )
    questions = group_by_question(judged)
    well_formed = [row for row in judged if row["format"] == 1.0]
    per_question = question_accuracy(judged)
    most = min(len(samples) for samples in questions.values())
    ks = [2**power for power in range(most.bit_length()) if 2**power <= most]
    return {
        "accuracy": _mean(list(per_question.values())),
        "ci95": list(bootstrap_interval(list(per_question.values()), seed)),
        "lenient_accuracy": _mean(
            [_mean([row["lenient"] == 1.0 for row in samples]) for samples in questions.values()]
        ),
        "format": len(well_formed) / len(judged),
        "accuracy_given_format": _mean([row["verdict"] == 1.0 for row in well_formed])
        if well_formed
        else None,
        "pass_at": {
            str(k): _mean(
                [
                    pass_at_k(len(s), sum(row["verdict"] == 1.0 for row in s), k)
                    for s in questions.values()
                ]
            )
            for k in ks
        },
        "majority": _mean([majority_vote(samples) for samples in questions.values()])
        if most > 1
        else None,
        "mean_length": _mean([row["tokens"] for row in judged]),
        "cut_off": _mean([not row["finished"] for row in judged]),
        "n": len(questions),
        "samples": len(judged),
        "unjudged": len(rows) - len(judged),
    }


def group_by_question(rows: Sequence[Row]) -> dict[str, list[Row]]:
    questions: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        questions[row["key"]].append(row)
    return questions


def question_accuracy(rows: Sequence[Row]) -> dict[str, float]:
    """The share of right samples of each question."""
    judged = group_by_question([row for row in rows if row["verdict"] is not None])
    return {
        key: _mean([row["verdict"] == 1.0 for row in samples]) for key, samples in judged.items()
    }


def pass_at_k(n: int, right: int, k: int) -> float:
    """The chance that one of `k` samples is right, unbiased, from `n` of which `right` are (arXiv 2107.03374, equation 1)."""
    return 1.0 - math.comb(n - right, k) / math.comb(n, k)


def majority_vote(samples: Sequence[Row]) -> float:
    """Whether the most frequent answer of the well-formed samples is right; the first drawn wins a tie."""
    traces = [(trace, row) for row in samples if (trace := parse_completion(row["completion"]))]
    if not traces:
        return 0.0
    answers = [normalize(trace.answer) for trace, _ in traces]
    (most, _), *_ = Counter(answers).most_common(1)
    return float(traces[answers.index(most)][1]["verdict"] == 1.0)


def bootstrap_interval(values: Sequence[float], seed: int) -> tuple[float, float]:
    """The 95 % interval of the mean: percentiles of the means of 10,000 resamples of the questions."""
    return _interval(_resampled_means(np.asarray(values, dtype=float), seed))


def compare_paired(first: dict[str, float], second: dict[str, float], seed: int) -> dict[str, Any]:
    """Whether two models differ on the questions that both answered.

    Returns `difference` (second minus first), its bootstrap `ci95` over questions, `p` (two-sided sign-flip test: how often a
    difference this large comes about if it is chance which model is which), and `n`.
    """
    keys = sorted(first.keys() & second.keys())
    differences = np.asarray([second[key] - first[key] for key in keys])
    observed = abs(differences.mean())
    rng = np.random.default_rng(seed)
    flipped = np.asarray(
        [abs((differences * rng.choice((-1, 1), len(keys))).mean()) for _ in range(RESAMPLES)]
    )
    p = (1 + int((flipped >= observed - 1e-12).sum())) / (1 + RESAMPLES)
    interval = _interval(_resampled_means(differences, seed))
    return {"difference": float(differences.mean()), "ci95": list(interval), "p": p, "n": len(keys)}


def _resampled_means(values: "np.ndarray[Any, Any]", seed: int) -> "np.ndarray[Any, Any]":
    rng = np.random.default_rng(seed)
    return np.asarray(
        [values[rng.integers(0, len(values), len(values))].mean() for _ in range(RESAMPLES)]
    )


def _interval(means: "np.ndarray[Any, Any]") -> tuple[float, float]:
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
