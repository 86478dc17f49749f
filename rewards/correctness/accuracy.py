"""Scores whether the answer is right: one score for training, trace selection and evaluation."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar

from rewards.answers.answer_form import judge
from rewards.answers.compare import Comparison
from rewards.answers.estimate import is_understood
from rewards.answers.normalize import boxed, normalize
from rewards.answers.several import score_each_answer
from rewards.audit_cases import NEAR_42, AuditExample
from rewards.completion import parse_completion
from rewards.interface import BatchReward, Row, ScoredBatch
from rewards.isolation.pool import Limits, Pool, get_pool

READABLE = "rewards.answers.math_verify_worker:readable"
EQUAL = "rewards.answers.math_verify_worker:equal"


@dataclass(frozen=True)
class Accuracy(BatchReward):
    r"""1.0 if the answer block equals the gold answer, 0.0 if not, `None` if gold is unreadable.

    The answer is taken from the answer block of a well-formed completion, never from the think
    block. A malformed completion has no answer and earns 0.0, so that accuracy never exceeds the
    format rate and DeepSeek-R1-Zero's rule-based reward (arXiv 2501.12948, section 2.2.2) stays
    decidable. A gold may be a whole solution that ends in GSM8K's `#### 72` or contains
    `\boxed{72}`. Texts, numbers and polynomials are compared exactly (answers/compare.py); what
    that leaves undecided goes to math-verify (https://github.com/huggingface/Math-Verify) in a
    worker process (isolation/pool.py).

    Parameters:
        timeout_seconds: limit for math-verify on one answer, in seconds of CPU time; an answer
            that takes longer is wrong, a gold that does is `None`.
        memory_mb: limit for its memory.
    """

    timeout_seconds: float = 1.0
    memory_mb: int = 1024

    needs: ClassVar[tuple[str, ...]] = ("answer",)
    audit_example: ClassVar[AuditExample] = AuditExample({"answer": "42"}, "42", dict(NEAR_42))

    def __post_init__(self) -> None:
        Limits(self.timeout_seconds, self.memory_mb)

    def score_batch(self, completions: Sequence[str], rows: Sequence[Row]) -> ScoredBatch:
        return score_each_answer(self._score_batch, completions, rows)

    def _score_batch(self, completions: Sequence[str], rows: Sequence[Row]) -> ScoredBatch:
        pool = get_pool(Limits(self.timeout_seconds, self.memory_mb))
        golds = [_gold_text(row.get("answer")) for row in rows]
        unreadable = _find_unreadable(golds, pool)

        # Compare exactly. What stays undecided is collected by its text, because a group often
        # gives the same answer several times.
        scores: list[float | None] = [None] * len(completions)
        undecided: dict[tuple[str, str], list[int]] = {}
        for index, (completion, gold) in enumerate(zip(completions, golds, strict=True)):
            if gold in unreadable:
                continue
            scores[index] = 0.0
            parsed = parse_completion(completion)
            if parsed is None:
                continue
            judgement = judge(gold, parsed.answer)
            if judgement.comparison is Comparison.SAME:
                scores[index] = 1.0
            elif judgement.comparison is Comparison.UNDECIDED:
                pair = (judgement.gold, judgement.answer)
                undecided.setdefault(pair, []).append(index)

        # Ask math-verify about the rest.
        timed_out = 0
        outcomes = pool.run(EQUAL, list(undecided))
        for indices, outcome in zip(undecided.values(), outcomes, strict=True):
            if outcome.limit:
                timed_out += len(indices)
            for index in indices:
                scores[index] = float(outcome.value or False)
        return ScoredBatch(scores, timed_out)


def _find_unreadable(golds: Sequence[str], pool: Pool) -> set[str]:
    """The golds that neither we nor math-verify can read; each is tried once."""
    hard = [gold for gold in dict.fromkeys(golds) if gold and not is_understood(gold)]
    outcomes = pool.run_once(READABLE, [(gold,) for gold in hard])
    unreadable = {""}
    for gold, outcome in zip(hard, outcomes, strict=True):
        if not outcome.value:
            unreadable.add(gold)
    return unreadable


def _gold_text(answer: Any) -> str:
    """The gold as a text to compare with; empty if there is none. Several answers become a list."""
    # pandas writes NaN, the number that is not itself, where there is none.
    if answer is None or answer != answer:
        return ""
    if isinstance(answer, list | tuple):
        return ", ".join(filter(None, map(_gold_text, answer)))
    try:
        return _normalize_gold(str(answer))
    except ValueError:  # an integer of more than 4,300 digits
        return ""


@lru_cache(maxsize=65536)
def _normalize_gold(text: str) -> str:
    """The answer in a gold, which may be a whole solution."""
    text = text.rpartition("####")[2]
    answers = list(dict.fromkeys(map(normalize, boxed(text))))
    return ", ".join(answers) if answers else normalize(text)
