"""Scores a batch of completions and checks the scores: in training, `generate` and `evaluate`."""

import math
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from rewards.interface import BatchReward, Reward, RewardError, Row, ScoredBatch


def score_completions(
    reward: Reward, name: str, completions: Sequence[str], rows: Sequence[Row]
) -> ScoredBatch:
    """Scores a batch of texts; `rows` holds the columns of each.

    Raises `RewardError`, naming the reward, the row and the exception, if the reward raises or
    returns something that is neither a finite number nor `None`.
    """
    # A batch reward knows what timed out and failed, so its counts are kept.
    if isinstance(reward, BatchReward):
        with errors_naming(name, f"a batch of {len(completions)} completions"):
            batch = reward.score_batch(completions, rows)
        return replace(batch, scores=check_scores(name, batch.scores, len(completions)))

    # Any other reward scores one completion at a time. Its own column `completion`, if the dataset
    # has one, gives way to the text that is scored.
    scores = []
    for index, (completion, row) in enumerate(zip(completions, rows, strict=True)):
        with errors_naming(name, f"row {index}: {completion[:200]!r}"):
            scores.append(reward(**{**row, "completion": completion}))
    return ScoredBatch(check_scores(name, scores, len(completions)))


@contextmanager
def errors_naming(reward_name: str, where: str) -> Iterator[None]:
    """Turns an exception of a reward into a `RewardError` that names the reward and the row.

    It is never swallowed: a broken reward must stop the run, not score 0.
    """
    try:
        yield
    except RewardError:
        raise  # of a reward that this one is made of; it names that reward and the row
    except Exception as error:
        raise RewardError(f"reward {reward_name!r} raised {error!r} on {where}") from error


def check_scores(name: str, scores: Any, expected: int) -> list[float | None]:
    """`scores` as a list of floats and `None`. Raises `RewardError` for anything else.

    TRL itself would treat a NaN as `None`, and accept an infinity.
    """
    if not isinstance(scores, Collection) or len(scores) != expected:
        raise RewardError(
            f"reward {name!r} returned {str(scores)[:100]!r} for {expected} completions; "
            "it must return one score per completion"
        )
    return [_check_score(name, index, score) for index, score in enumerate(scores)]


def _check_score(name: str, index: int, score: Any) -> float | None:
    if score is None:
        return None
    try:
        number = float(score)
    except (TypeError, ValueError):
        number = math.nan
    # float() accepts "1.0", but a reward that returns text is broken.
    if isinstance(score, str) or not math.isfinite(number):
        raise RewardError(
            f"reward {name!r} returned {score!r} on row {index}; it must be a finite number or None"
        )
    return number
