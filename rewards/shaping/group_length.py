"""Is the completion short for this question?"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from rewards.interface import BatchReward, Row, ScoredBatch


@dataclass(frozen=True)
class GroupLength(BatchReward):
    """The length penalty of Kimi k1.5 (arXiv 2501.12599, section 2.3.3), by tokens, within the completions of one question:

        l = 0.5 - (n - shortest) / (longest - shortest)
        l for a right answer, min(0, l) for a wrong one, 0 if all are equally long

    `None` where the verdict is; those completions do not count as the shortest or the longest either. With several processes a
    group is what one process holds of it: let `num_generations` divide the completions of each process.

    Parameters:
        verdict: the reward that says whether an answer is right.
    """

    verdict: str = "accuracy"

    def score_batch(self, completions: Sequence[str], rows: Sequence[Row]) -> ScoredBatch:
        from rewards import get_reward, score_completions

        judged = score_completions(get_reward(self.verdict), self.verdict, completions, rows)
        groups: dict[str, list[int]] = defaultdict(list)
        for index, (right, row) in enumerate(zip(judged.scores, rows, strict=True)):
            if right is not None:
                groups[str(row["prompts"])].append(index)
        scores: list[float | None] = [None] * len(completions)
        for group in groups.values():
            lengths = [len(rows[index]["completion_ids"]) for index in group]
            shortest, longest = min(lengths), max(lengths)
            for index, length in zip(group, lengths, strict=True):
                value = (
                    0.5 - (length - shortest) / (longest - shortest) if longest > shortest else 0.0
                )
                scores[index] = value if judged.scores[index] == 1.0 else min(0.0, value)
        return ScoredBatch(scores, judged.timed_out, judged.failed)
