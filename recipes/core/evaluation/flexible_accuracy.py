"""Accuracy of an answer that may appear anywhere after the thinking."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rewards import Reward, score_completions
from rewards.completion import flexible_completion
from rewards.interface import BatchReward, ScoredBatch
from rewards.interface import Row as Columns

if TYPE_CHECKING:
    pass


@dataclass(frozen=True)
class FlexibleAccuracy(BatchReward):
    """The verdict on the answer that stands anywhere after the thinking, so that a gain in format is not sold as reasoning."""

    verdict: Reward

    def score_batch(self, completions: Sequence[str], rows: Sequence[Columns]) -> ScoredBatch:
        return score_completions(
            self.verdict,
            "verdict",
            [flexible_completion(completion) for completion in completions],
            rows,
        )
