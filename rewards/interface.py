"""What of a reward that must see the whole batch: to compare a group, to ask a pool of processes, to run a model once?"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Reward = Callable[..., float | None]


class RewardError(ValueError):
    """A reward that does not exist, was given wrong parameters, raised, or returned something that is not a score."""


Row = Mapping[str, Any]


@dataclass(frozen=True)
class ScoredBatch:
    """What came of judging a batch.

    Attributes:
        scores: one per completion; `None` where it cannot be judged.
        timed_out: how many completions ran into their time or memory limit (they score 0).
        failed: how many could not be judged because the judge itself failed: a sandbox, an endpoint (they score `None`).
    """

    scores: list[float | None]
    timed_out: int = 0
    failed: int = 0


class BatchReward:
    """A reward that judges a batch at once. Called with one completion, it is a reward like any other."""

    def check(self) -> None:
        """Raises what can be known to fail before the first batch. Called when a recipe's rewards are built."""

    def score_batch(self, completions: Sequence[str], rows: Sequence[Row]) -> ScoredBatch:
        """Judges `completions`; `rows` holds the columns of each, in the same order."""
        raise NotImplementedError

    def __call__(self, completion: str, **row: Any) -> float | None:
        return self.score_batch([completion], [row]).scores[0]
