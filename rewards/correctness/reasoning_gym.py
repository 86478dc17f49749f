"""Scores an answer with the verifier of its reasoning-gym task."""

import importlib.util
import json
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from rewards.audit_cases import NEAR_42, AuditExample
from rewards.completion import parse_completion
from rewards.correctness.reasoning_gym_sandbox import needs_sandbox, verify_in_sandbox
from rewards.interface import BatchReward, Row, ScoredBatch
from rewards.isolation.pool import Limits, Outcome, get_pool
from rewards.isolation.sandbox import require_protections
from rewards.isolation.sandbox_process import SandboxError

logger = logging.getLogger(__name__)

VERIFIER = "rewards.correctness.reasoning_gym_worker:verify"


@dataclass(frozen=True)
class ReasoningGym(BatchReward):
    """The score that a task of reasoning-gym gives to the text of the answer block.

    0.0 for a malformed completion, `None` if the row has no task. Needs `pip install reasoning-gym`
    (https://github.com/open-thought/reasoning-gym). The row's `metadata` (a mapping, or one as
    JSON) is the task's, with `source_dataset`. The verifiers run in worker processes, and those
    that run text as Python (`binary_matrix`, `bitwise_arithmetic`, `countdown`,
    `intermediate_integration`, `n_queens`, `number_sorting`, `polynomial_multiplication`,
    `puzzle24`, `simple_integration`, `spiral_matrix`, `string_insertion`; all of them in versions
    other than 0.1.25) in the sandbox of `code`, without the environment, each answer in a process
    of its own. A verifier that raises on an answer alone scores it 0.0, counted as `raised`; one
    that raises on the row's own answer scores `None`.

    Parameters:
        strict: only the full score counts. Many verifiers pay part of it for a wrong answer: 2/3
            for `142` when `42` is right.
        timeout_seconds: limit for one answer, in seconds of CPU time; one that takes longer is
            wrong.
        memory_mb: limit for its memory.
        unprotected: verifies answers even where the sandbox cannot protect the machine.
    """

    strict: bool = True
    timeout_seconds: float = 1.0
    memory_mb: int = 1024
    unprotected: bool = False

    needs: ClassVar[tuple[str, ...]] = ("answer",)
    audit_example: ClassVar[AuditExample] = AuditExample(
        {"answer": "42", "metadata": {"source_dataset": "chain_sum"}}, "42", dict(NEAR_42)
    )

    def __post_init__(self) -> None:
        Limits(self.timeout_seconds, self.memory_mb)
        if type(self.unprotected) is not bool:
            raise ValueError(f"unprotected is {self.unprotected!r}; it must be true or false")
        if importlib.util.find_spec("reasoning_gym") is None:
            raise ValueError(
                "the package reasoning-gym is not installed; run: pip install reasoning-gym"
            )

    def check_rows(self, rows: Iterable[Row]) -> None:
        """Raises `ValueError` if a row's task needs a sandbox that this machine does not have."""
        tasks = {_read_metadata(row.get("metadata")).get("source_dataset") for row in rows}
        if tasks == {None}:
            raise ValueError("no row has a mapping `metadata` with the task's `source_dataset`")
        sandboxed = sorted(task for task in map(str, tasks) if needs_sandbox(task))
        if sandboxed:
            try:
                require_protections(self.unprotected)
            except SandboxError as error:
                names = ", ".join(sandboxed)
                raise ValueError(f"verifiers that run text as Python: {names}; {error}") from error

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
        outcomes = self._verify(tasks)
        failed = 0
        raised = 0
        reasons = []
        for index, outcome in zip(verified, outcomes, strict=True):
            score, reason = outcome.value or (0.0, "")
            if score is None:
                failed += 1
                scores[index] = None
            else:
                raised += bool(reason)
                scores[index] = float(score >= 1.0) if self.strict else score
            if reason:
                reasons.append(reason)
        if reasons:
            logger.warning(
                "reasoning_gym: of %d answers, %d made a verifier raise (0.0) and %d could not be "
                "verified (no score); the first: %s",
                *(len(tasks), raised, failed, reasons[0]),
            )
        timed_out = sum(outcome.limit for outcome in outcomes)
        return ScoredBatch(scores, timed_out, failed, raised)

    def _verify(self, tasks: list[tuple[str, dict[str, Any]]]) -> list[Outcome]:
        """The outcomes of all tasks, in order, wherever each has to run."""
        limits = Limits(self.timeout_seconds, self.memory_mb)
        flags = [needs_sandbox(str(entry["metadata"]["source_dataset"])) for _, entry in tasks]
        sandboxed = [task for task, flag in zip(tasks, flags, strict=True) if flag]
        pooled = [task for task, flag in zip(tasks, flags, strict=True) if not flag]

        # Each keeps the order of its tasks, so they are dealt out as they were dealt in.
        from_sandbox = iter(verify_in_sandbox(sandboxed, limits, self.unprotected))
        from_pool = iter(get_pool(limits).run(VERIFIER, pooled))
        return [next(from_sandbox if flag else from_pool) for flag in flags]


def _make_entry(row: Row, metadata: dict[str, Any]) -> dict[str, Any]:
    """The row as reasoning-gym made it."""
    return {"question": row.get("question"), "answer": row.get("answer"), "metadata": metadata}


def _read_metadata(metadata: Any) -> dict[str, Any]:
    """A mapping, whether the column holds one or its JSON; empty for anything else."""
    try:
        values = json.loads(metadata) if isinstance(metadata, str) else metadata
    except json.JSONDecodeError:
        return {}
    if isinstance(values, dict):
        return values
    return {}
