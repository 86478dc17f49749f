"""Notices that a GRPO run cannot learn: no group differs in its rewards, or no gold is readable."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from recipes.core.training.rollout_log import Rollout
from rewards import RewardFunction

logger = logging.getLogger(__name__)
# Generations without anything to learn from, after which the likely cause is logged.
WARN_AFTER = 10

# The rewards of TRL that compare an answer with a gold answer. Ours have an example for the audit.
_TRL_CORRECTNESS = ("accuracy_reward", "reasoning_accuracy_reward")


def correctness_names(functions: Sequence[Any]) -> set[str]:
    """The names of the reward functions that compare an answer with a gold answer."""
    names = set()
    for function in functions:
        if not isinstance(function, RewardFunction):  # a model
            continue
        example = getattr(function.reward, "audit_example", None)
        if example is not None or function.name in _TRL_CORRECTNESS:
            names.add(function.name)
    return names


class LearningWatch:
    """Counts the generations from which nothing can be learnt.

    GRPO learns from the differences within a group of completions of one question. If all of them
    earn the same, or cannot be scored, their advantages are zero.
    """

    def __init__(self, weights: Mapping[str, float], correctness: set[str], group: int) -> None:
        """
        Args:
            weights: of the rewards, by name.
            correctness: names of the rewards that compare an answer with a gold answer.
            group: completions per question.
        """
        # A reward of weight 0 is only measured.
        self.rewards = [name for name, weight in weights.items() if weight != 0]
        self.correctness = [name for name in self.rewards if name in correctness]
        self.group = group
        # Over the whole run, and since the last difference.
        self.generations = 0
        self.has_differed = False
        self.without_difference = 0
        self.scored: set[str] = set()
        self.latest: Sequence[Rollout] = ()
        self.truncated = 0.0

    def observe(self, rollouts: Sequence[Rollout], truncated: float = 0.0) -> None:
        """Takes in one generation.

        Args:
            rollouts: groups one after the other.
            truncated: fraction of the completions that are truncated.
        """
        self.generations += 1
        self.latest = rollouts
        self.truncated = truncated
        for name in self.correctness:
            if any(row["rewards"].get(name) is not None for row in rollouts):
                self.scored.add(name)
        # Any group will do.
        if self._differs(rollouts):
            self.has_differed = True
            self.without_difference = 0
        else:
            self.without_difference += 1

    def warn(self) -> None:
        """Logs the likely cause once nothing has been learnt for a while."""
        # Once for each stretch; the end of the run says it again.
        is_blind = self.generations == WARN_AFTER and self._reads_no_gold()
        if self.without_difference == WARN_AFTER or is_blind:
            logger.warning("nothing was learnt for %d steps: %s", WARN_AFTER, self._cause())

    def problem(self) -> str | None:
        """Why nothing was learnt in the whole run; `None` if something may have been."""
        if self.generations and (not self.has_differed or self._reads_no_gold()):
            return self._cause()
        return None

    def _differs(self, rollouts: Sequence[Rollout]) -> bool:
        """Whether two completions of one question have different rewards."""
        for start in range(0, len(rollouts), self.group):
            earned = set()
            for row in rollouts[start : start + self.group]:
                scores = [row["rewards"].get(name) for name in self.rewards]
                # TRL leaves out a completion without any score, and adds up what the others have.
                if any(score is not None for score in scores):
                    earned.add(tuple(score or 0.0 for score in scores))
            if len(earned) > 1:
                return True
        return False

    def _reads_no_gold(self) -> bool:
        """Whether no reward of correctness has scored a single completion."""
        return bool(self.correctness) and not self.scored

    def _cause(self) -> str:
        """The likely cause, as the latest generation shows it."""
        # First what is broken, whatever was sampled.
        first = self.latest[0]
        if self._reads_no_gold():
            return (
                f"the reward {self.correctness[0]} could score no completion: it cannot read the "
                f"gold answers, such as {first['answer']!r} (see answer_column and "
                "answer_pattern), or fails"
            )
        if self.truncated > 0.99:
            return "every completion is truncated; write a larger max_completion_length"
        # Sampling without variety gives groups without variance.
        if self._are_groups_of_one_text():
            return (
                "the completions of each question are the same text; write a higher temperature, "
                "or check top_k, top_p and min_p"
            )
        # Else the questions are too easy or too hard.
        earned = {row["rewards"].get(name) for row in self.latest for name in self.correctness}
        if earned == {1.0}:
            return "every answer is right; the questions are too easy for this model"
        if earned == {0.0}:
            return (
                "no answer is right; the questions are too hard for this model, or it does not "
                "answer in the form that the reward reads (see rollouts/train.jsonl)"
            )
        return f"all completions of each question earn the same ({first['rewards']})"

    def _are_groups_of_one_text(self) -> bool:
        for start in range(0, len(self.latest), self.group):
            rows = self.latest[start : start + self.group]
            if len({row["completion"] for row in rows}) > 1:
                return False
        return True
