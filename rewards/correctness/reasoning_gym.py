"""What does the task's own verifier say?"""

import importlib.util
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from rewards.audit_cases import NEAR_42, AuditExample
from rewards.completion import parse_completion
from rewards.interface import BatchReward, Row, ScoredBatch
from rewards.isolation.pool import Limits, get_pool


@dataclass(frozen=True)
class ReasoningGym(BatchReward):
    """The score that a task of reasoning-gym (https://github.com/open-thought/reasoning-gym) gives to the text of the answer block;
    0.0 for a malformed trace, `None` if the row has no task. Needs `pip install reasoning-gym`.

    The row's `metadata` (a mapping, or the same as JSON) is the task's, with `source_dataset`. The verifiers run in worker
    processes.

    Parameters:
        strict: only the full score counts. Many verifiers pay part of it for a wrong answer: 2/3 for `142` when `42` is right.
        timeout_seconds: limit for one answer; one that takes longer is wrong.
        memory_mb: the same for its memory.
    """

    strict: bool = True
    timeout_seconds: float = 1.0
    memory_mb: int = 1024

    audit_example: ClassVar[AuditExample] = AuditExample(
        {"answer": "42", "metadata": {"source_dataset": "chain_sum"}}, "42", dict(NEAR_42)
    )

    def __post_init__(self) -> None:
        Limits(self.timeout_seconds, self.memory_mb)
        if importlib.util.find_spec("reasoning_gym") is None:
            raise ValueError(
                "the package reasoning-gym is not installed; run: pip install reasoning-gym"
            )

    def score_batch(self, completions: Sequence[str], rows: Sequence[Row]) -> ScoredBatch:
        metadata = [_mapping(row.get("metadata")) for row in rows]
        known = [index for index, values in enumerate(metadata) if "source_dataset" in values]
        traces = {index: parse_completion(completions[index]) for index in known}
        scores: list[float | None] = [
            0.0 if index in traces else None for index in range(len(completions))
        ]
        asked = {index: trace.answer for index, trace in traces.items() if trace}
        entries = [
            {
                "question": rows[index].get("question"),
                "answer": rows[index].get("answer"),
                "metadata": metadata[index],
            }
            for index in asked
        ]
        pool = get_pool(Limits(self.timeout_seconds, self.memory_mb))
        outcomes = pool.run(
            "rewards.correctness.reasoning_gym_worker:verify",
            list(zip(asked.values(), entries, strict=True)),
        )
        for index, outcome in zip(asked, outcomes, strict=True):
            value = float(outcome.value or 0.0)
            scores[index] = float(value >= 1.0) if self.strict else value
        return ScoredBatch(scores, timed_out=sum(outcome.limit for outcome in outcomes))


def _mapping(metadata: Any) -> dict[str, Any]:
    try:
        values = json.loads(metadata) if isinstance(metadata, str) else metadata
    except json.JSONDecodeError:
        return {}
    return values if isinstance(values, dict) else {}
