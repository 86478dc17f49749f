"""Flexible accuracy: accepts an answer anywhere after the thinking."""

from collections.abc import Sequence
from dataclasses import dataclass

from rewards import Reward, score_completions
from rewards.completion import flexible_completion
from rewards.interface import BatchReward, Row, ScoredBatch


@dataclass(frozen=True)
class FlexibleAccuracy(BatchReward):
    """Scores the answer wherever it appears after the thinking.

    Beside the strict score, it tells a gain in reasoning from a gain in format.
    """

    correct: Reward

    def score_batch(self, completions: Sequence[str], rows: Sequence[Row]) -> ScoredBatch:
        answers = [flexible_completion(completion) for completion in completions]
        return score_completions(self.correct, "correct", answers, rows)
