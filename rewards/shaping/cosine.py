"""Cosine length reward: a right answer should be short, a wrong one should at least try."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from rewards.correctness.accuracy import Accuracy
from rewards.interface import BatchReward, Reward, Row, ScoredBatch, needs_answer
from rewards.scoring import score_completions


@dataclass(frozen=True)
class Cosine(BatchReward):
    """The cosine length reward of arXiv 2502.03373, section 4.1, in tokens and clamped:

        low + (high - low) * (1 + cos(pi * min(n / max_tokens, 1))) / 2

    with low, high = `min_value_correct`, `max_value_correct` for a right answer (shorter is better)
    and `max_value_wrong`, `min_value_wrong` for a wrong one (longer is better). Beyond `max_tokens`
    it keeps the value at `max_tokens`. `None` where the correctness reward is `None`: an unreadable
    gold answer does not make an answer right.

    Parameters:
        max_tokens: length at which the schedule ends; usually `max_completion_length`.
        correctness_reward: name of the reward that decides whether an answer is right.
    """

    max_tokens: int
    min_value_wrong: float = -1.0
    max_value_wrong: float = -0.5
    min_value_correct: float = 0.5
    max_value_correct: float = 1.0
    correctness_reward: Reward = field(default_factory=Accuracy)

    @property
    def needs(self) -> tuple[str, ...]:  # type: ignore[override]
        """Those of the correctness reward, as far as they are known."""
        return ("answer",) if needs_answer(self.correctness_reward) else ()

    def __post_init__(self) -> None:
        if self.max_tokens < 1:
            raise ValueError(f"max_tokens is {self.max_tokens}; write 1 or more")

    def score_batch(self, completions: Sequence[str], rows: Sequence[Row]) -> ScoredBatch:
        correct = score_completions(
            self.correctness_reward, "correctness_reward", completions, rows
        )
        # The length decides how much a right or a wrong answer is worth.
        scores = [
            self._score(correctness, row)
            for correctness, row in zip(correct.scores, rows, strict=True)
        ]
        return ScoredBatch(scores, correct.timed_out, correct.failed)

    def _score(self, correctness: float | None, row: Row) -> float | None:
        if correctness is None:
            return None
        # Both ends of the schedule: `high` at length 0, `low` at `max_tokens`.
        if correctness == 1.0:
            low = self.min_value_correct
            high = self.max_value_correct
        else:
            low = self.max_value_wrong
            high = self.min_value_wrong
        progress = min(len(row["completion_ids"]) / self.max_tokens, 1.0)
        return low + (high - low) * (1 + math.cos(math.pi * progress)) / 2
