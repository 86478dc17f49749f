"""Length reward within a group: a completion is compared with the others of its question."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from rewards.correctness.accuracy import Accuracy
from rewards.interface import BatchReward, Reward, Row, ScoredBatch, needs_answer
from rewards.scoring import score_completions


@dataclass(frozen=True)
class GroupLength(BatchReward):
    """The length penalty of Kimi k1.5 (arXiv 2501.12599, section 2.3.3), in tokens, per question:

        l = 0.5 - (n - shortest) / (longest - shortest)
        l for a right answer, min(0, l) for a wrong one, 0 if all have the same length

    `None` where the correctness reward is `None`; these completions do not count as the shortest or
    the longest either. With several processes, a group is the part of it that one process holds:
    let `num_generations` divide the number of completions per process.

    Parameters:
        correctness_reward: name of the reward that decides whether an answer is right.
    """

    correctness_reward: Reward = field(default_factory=Accuracy)

    # The ideal completion of the audit is as long as the others.
    best_score: ClassVar[float | None] = 0.0

    @property
    def needs(self) -> tuple[str, ...]:  # type: ignore[override]
        """Those of the correctness reward, as far as they are known."""
        return ("answer",) if needs_answer(self.correctness_reward) else ()

    def score_batch(self, completions: Sequence[str], rows: Sequence[Row]) -> ScoredBatch:
        correct = score_completions(
            self.correctness_reward, "correctness_reward", completions, rows
        )

        # The completions of a question, as their positions in the batch.
        groups: dict[str, list[int]] = defaultdict(list)
        for index, row in enumerate(rows):
            if correct.scores[index] is not None:
                groups[str(row["prompts"])].append(index)

        # Within each group, the shortest completion earns 0.5 and the longest -0.5.
        scores: list[float | None] = [None] * len(completions)
        for group in groups.values():
            lengths = [len(rows[index]["completion_ids"]) for index in group]
            shortest = min(lengths)
            spread = max(lengths) - shortest
            for index, length in zip(group, lengths, strict=True):
                score = 0.5 - (length - shortest) / spread if spread else 0.0
                if correct.scores[index] != 1.0:
                    score = min(0.0, score)
                scores[index] = score
        return ScoredBatch(scores, correct.timed_out, correct.failed)
