"""Scores an answer with the verifier of its reasoning-gym task."""

import importlib.util
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from rewards.audit_cases import NEAR_42, AuditExample
from rewards.completion import parse_completion
from rewards.interface import BatchReward, Row, ScoredBatch
from rewards.isolation.pool import Limits, get_pool

logger = logging.getLogger(__name__)

VERIFIER = "rewards.correctness.reasoning_gym_worker:verify"


@dataclass(frozen=True)
class ReasoningGym(BatchReward):
    """The score that a task of reasoning-gym gives to the text of the answer block.

    0.0 for a malformed completion, `None` if the row has no task. Needs `pip install reasoning-gym`
    (https://github.com/open-thought/reasoning-gym). The row's `metadata` (a mapping, or one as
    JSON) is the task's, with `source_dataset`. The verifiers run in worker processes.

    Parameters:
        strict: only the full score counts. Many verifiers pay part of it for a wrong answer: 2/3
            for `142` when `42` is right.
        timeout_seconds: limit for one answer, in seconds of CPU time; one that takes longer is
            wrong.
        memory_mb: limit for its memory.
    """

    strict: bool = True
    timeout_seconds: float = 1.0
    memory_mb: int = 1024

    needs: ClassVar[tuple[str, ...]] = ("answer",)
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
        # Rows without a task cannot be scored, and malformed completions earn nothing.
        scores: list[float | None] = []
        verified = []  # indices of the completions that the verifiers see
        tasks = []
        for index, (completion, row) in enumerate(zip(completions, rows, strict=True)):
            metadata = _read_metadata(row.get("metadata"))
            parsed = parse_completion(completion)
            has_task = "source_dataset" in metadata
            scores.append(0.0 if has_task else None)
            if has_task and parsed:
                verified.append(index)
                tasks.append((parsed.answer, _make_entry(row, metadata)))

        # The others are scored by the verifiers of their tasks.
        pool = get_pool(Limits(self.timeout_seconds, self.memory_mb))
        outcomes = pool.run(VERIFIER, tasks)
        unreadable = 0
        for index, outcome in zip(verified, outcomes, strict=True):
            score, raised = outcome.value or (0.0, "")
            if raised:
                logger.warning("reasoning_gym: a verifier raised %s, scored %s", raised, score)
            if score is None:
                unreadable += 1
                scores[index] = None
            else:
                scores[index] = float(score >= 1.0) if self.strict else score
        timed_out = sum(outcome.limit for outcome in outcomes)
        return ScoredBatch(scores, timed_out, failed=unreadable)


def _make_entry(row: Row, metadata: dict[str, Any]) -> dict[str, Any]:
    """The row as reasoning-gym made it."""
    return {"question": row.get("question"), "answer": row.get("answer"), "metadata": metadata}


def _read_metadata(metadata: Any) -> dict[str, Any]:
    """A mapping, whether the column holds one or its JSON; empty for anything else."""
    try:
        values = json.loads(metadata) if isinstance(metadata, str) else metadata
    except json.JSONDecodeError:
        return {}
    return values if isinstance(values, dict) else {}
