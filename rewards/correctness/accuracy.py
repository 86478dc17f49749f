"""Is the answer right? The one verdict: for training, for keeping traces, and for evaluation."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar

from rewards.answers.compare import compare, read_value
from rewards.answers.normalize import boxed, normalize, unboxed
from rewards.audit_cases import NEAR_42, AuditExample
from rewards.completion import parse_completion
from rewards.interface import BatchReward, Row, ScoredBatch
from rewards.isolation.pool import Limits, get_pool


@dataclass(frozen=True)
class Accuracy(BatchReward):
    """1.0 if the text of the answer block equals the gold answer, 0.0 if not, `None` if the gold cannot be read.

    The answer is taken from the answer block of a well-formed trace, never from the think block; a malformed trace has no
    answer and earns 0.0 (so accuracy never exceeds the format rate, and DeepSeek-R1-Zero's rule-based accuracy reward,
    arXiv 2501.12948 section 2.2.2, stays decidable). A gold may be a whole solution that ends in GSM8K's `#### 72` or holds
    `\\boxed{72}`. Texts and plain numbers are compared exactly (answers/compare.py); what that cannot decide goes to math-verify
    (https://github.com/huggingface/Math-Verify) in a worker process (`rewards.isolation.pool`).

    Parameters:
        timeout_seconds: limit for math-verify on one answer; an answer that takes longer is wrong, a gold that does is `None`.
        memory_mb: the same for its memory.
    """

    timeout_seconds: float = 1.0
    memory_mb: int = 1024

    audit_example: ClassVar[AuditExample] = AuditExample({"answer": "42"}, "42", dict(NEAR_42))

    def __post_init__(self) -> None:
        Limits(self.timeout_seconds, self.memory_mb)

    def score_batch(self, completions: Sequence[str], rows: Sequence[Row]) -> ScoredBatch:
        pool = get_pool(Limits(self.timeout_seconds, self.memory_mb))
        golds = [_gold_text(row.get("answer")) for row in rows]
        hard = [gold for gold in dict.fromkeys(golds) if gold and read_value(gold) is None]
        outcomes = pool.run_once(
            "rewards.answers.math_verify_worker:readable", [(gold,) for gold in hard]
        )
        unreadable = {
            "",
            *(gold for gold, outcome in zip(hard, outcomes, strict=True) if not outcome.value),
        }
        scores: list[float | None] = [None] * len(completions)
        undecided: dict[
            tuple[str, str], list[int]
        ] = {}  # judged once, however often a group gives the same answer
        for index, (completion, gold) in enumerate(zip(completions, golds, strict=True)):
            if gold in unreadable:
                continue
            trace = parse_completion(completion)
            verdict = compare(gold, normalize(trace.answer)) if trace else False
            scores[index] = float(verdict or False)
            if trace and verdict is None:
                undecided.setdefault((gold, unboxed(trace.answer)), []).append(index)
        timed_out = 0
        for indices, outcome in zip(
            undecided.values(),
            pool.run("rewards.answers.math_verify_worker:equal", list(undecided)),
            strict=True,
        ):
            timed_out += outcome.limit * len(indices)
            for index in indices:
                scores[index] = float(outcome.value or False)
        return ScoredBatch(scores, timed_out)


def _gold_text(answer: Any) -> str:
    """The gold as a text to compare with; empty if there is none. Several answers become a list."""
    if isinstance(answer, list | tuple):
        return ", ".join(filter(None, map(_gold_text, answer)))
    try:
        return "" if answer is None else _normal_gold(str(answer))
    except ValueError:  # an integer of more than 4,300 digits
        return ""


@lru_cache(maxsize=65536)
def _normal_gold(text: str) -> str:
    text = text.rpartition("####")[2]
    inside = list(dict.fromkeys(map(normalize, boxed(text))))
    return ", ".join(inside) if inside else normalize(text)
