"""Is a right answer short, and does a wrong one at least try?"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from rewards.interface import BatchReward, Row, ScoredBatch


@dataclass(frozen=True)
class Cosine(BatchReward):
    """The cosine length reward of arXiv 2502.03373, section 4.1, by tokens and clamped:

        low + (high - low) * (1 + cos(pi * min(n / max_tokens, 1))) / 2

    with low, high = `min_value_correct`, `max_value_correct` for a right answer (shorter is better) and `max_value_wrong`,
    `min_value_wrong` for a wrong one (longer is better). `None` where the verdict is: an unreadable gold is not a right answer.
    Beyond `max_tokens` it stays where it is at `max_tokens`.

    Parameters:
        max_tokens: length at which the schedule ends; usually `max_completion_length`.
        verdict: the reward that says whether an answer is right.
    """

    max_tokens: int
    min_value_wrong: float = -1.0
    max_value_wrong: float = -0.5
    min_value_correct: float = 0.5
    max_value_correct: float = 1.0
    verdict: str = "accuracy"

    def __post_init__(self) -> None:
        if self.max_tokens < 1:
            raise ValueError(f"max_tokens is {self.max_tokens}; write 1 or more")

    def score_batch(self, completions: Sequence[str], rows: Sequence[Row]) -> ScoredBatch:
        from rewards import get_reward, score_completions

        judged = score_completions(get_reward(self.verdict), self.verdict, completions, rows)
        scores = [self._score(right, row) for right, row in zip(judged.scores, rows, strict=True)]
        return ScoredBatch(scores, judged.timed_out, judged.failed)

    def _score(self, right: float | None, row: Row) -> float | None:
        if right is None:
            return None
        progress = min(len(row["completion_ids"]) / self.max_tokens, 1.0)
        low, high = (
            (self.min_value_correct, self.max_value_correct)
            if right == 1.0
            else (self.max_value_wrong, self.min_value_wrong)
        )
        return low + (high - low) * (1 + math.cos(math.pi * progress)) / 2
