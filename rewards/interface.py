"""The interface of a reward: the types that every reward, the TRL adapter and the audit share."""

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from rewards.audit_cases import AuditExample

# One completion: `reward(completion=..., **columns of its row)`. A float, or None for "no score".
Reward = Callable[..., float | None]

# The columns of the dataset that belong to one completion, by name.
Row = Mapping[str, Any]


class RewardError(ValueError):
    """A reward is unknown, has wrong parameters, raised, or returned something that is no score."""


@dataclass(frozen=True)
class ScoredBatch:
    """The scores of a batch of completions.

    Attributes:
        scores: one per completion; `None` where it cannot be scored.
        timed_out: completions that exceeded their time or memory limit (they score 0.0).
        failed: completions that could not be scored because the scorer itself failed, such as a
            sandbox or an endpoint (they score `None`).
        raised: completions that made a foreign verifier raise (they score 0.0).
    """

    scores: list[float | None]
    timed_out: int = 0
    failed: int = 0
    raised: int = 0


class BatchReward:
    """A reward that scores a whole batch at once.

    For rewards that compare the completions of a group, send them to worker processes, or run a
    model over all of them. Called with one completion, it is a reward like any other.

    Class attributes, which every reward may define (the audit reads the first two):
        best_score: score of an ideal completion; `None` if the scale is unknown.
        audit_example: a row that the reward can score, for rewards of correctness.
        needs: the columns without which the reward scores nothing, such as `answer`.
    """

    best_score: ClassVar[float | None] = 1.0
    audit_example: ClassVar[AuditExample | None] = None
    needs: ClassVar[tuple[str, ...]] = ()

    def check(self) -> None:
        """Raises `ValueError` for a problem that is known before the first batch.

        Called once, when the rewards of a recipe are built.
        """

    def check_rows(self, rows: Iterable[Row]) -> None:
        """Raises `ValueError` if the reward can score none of the rows of a dataset.

        Called once, before training. Rows that are unusable beside usable ones are worth a warning.
        """

    def score_batch(self, completions: Sequence[str], rows: Sequence[Row]) -> ScoredBatch:
        """Scores `completions`; `rows` holds the columns of each, in the same order."""
        raise NotImplementedError

    def __call__(self, completion: str, **row: Any) -> float | None:
        return self.score_batch([completion], [row]).scores[0]


def needs_answer(reward: Callable[..., Any]) -> bool:
    """Whether a reward scores nothing without gold answers.

    Its class attribute `needs` says so, or an argument `answer` without a default. Functions in
    TRL's form, which take `completions`, are not asked.
    """
    if "answer" in getattr(reward, "needs", ()):
        return True
    parameters = inspect.signature(reward).parameters
    answer = parameters.get("answer")
    return "completion" in parameters and answer is not None and answer.default is answer.empty
