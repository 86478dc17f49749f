"""Runs those verifiers of reasoning-gym in the sandbox that run text as Python."""

import importlib.metadata
import importlib.util
import json
import math
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

from rewards.isolation.namespaces import Limits
from rewards.isolation.pool import Limits as TaskLimits
from rewards.isolation.pool import Outcome, cores
from rewards.isolation.sandbox import require_protections, run_program
from rewards.isolation.sandbox_process import SandboxError

# The tasks whose verifiers call `eval` or sympy's `parse_expr`, in the version that was read: the
# last two on the row, the others on the answer. In any other version every task may.
KNOWN_VERSION = "0.1.25"
RUN_TEXT = frozenset(
    [
        "binary_matrix",
        "countdown",
        "intermediate_integration",
        "n_queens",
        "polynomial_multiplication",
        "puzzle24",
        "simple_integration",
        "spiral_matrix",
        "string_insertion",
        "bitwise_arithmetic",
        "number_sorting",
    ]
)

READY = "ready"  # see reasoning_gym_worker.py, which must not be imported here
BACKSTOP = 10
_START_SECONDS = 120  # for importing reasoning-gym on a busy machine
_MIN_ANSWERS = 16  # per sandbox: starting one costs two seconds
_PROCESSES = 4


def needs_sandbox(task: str) -> bool:
    """Whether the verifier of this task may run text as Python."""
    return task in RUN_TEXT or _installed_version() != KNOWN_VERSION


@cache
def _installed_version() -> str:
    try:
        return importlib.metadata.version("reasoning-gym")
    except importlib.metadata.PackageNotFoundError:  # a checkout that is not installed
        return "unknown"


def verify_in_sandbox(
    tasks: Sequence[tuple[str, dict[str, Any]]], limits: TaskLimits, unprotected: bool
) -> list[Outcome]:
    """The outcomes of `reasoning_gym_worker.verify`, in sandboxes that end with the batch.

    `limits.timeout_seconds` is computing time here. An answer that cannot be verified because the
    sandbox failed has no score. Raises `SandboxError` if this machine lacks a protection and
    `unprotected` is false.
    """
    if not tasks:
        return []
    require_protections(unprotected)
    size = max(_MIN_ANSWERS, math.ceil(len(tasks) / cores()))
    parts = [tasks[start : start + size] for start in range(0, len(tasks), size)]
    with ThreadPoolExecutor(cores()) as threads:
        outcomes = threads.map(lambda part: _verify_part(part, limits, unprotected), parts)
        return [outcome for part in outcomes for outcome in part]


def _verify_part(
    tasks: Sequence[tuple[str, dict[str, Any]]], limits: TaskLimits, unprotected: bool
) -> list[Outcome]:
    """The outcomes of some tasks in one sandbox, or in one each if that sandbox did not survive."""
    try:
        replies = _run(tasks, limits, unprotected)
    except SandboxError as error:
        return [Outcome((None, str(error)))] * len(tasks)
    if replies is not None:
        return [_read_reply(reply) for reply in replies]
    if len(tasks) == 1:
        return [Outcome((None, "the sandbox ended before the answer was verified"))]
    # One of the answers ended the others' verification: let it end its own only.
    return [_verify_part([task], limits, unprotected)[0] for task in tasks]


def _run(
    tasks: Sequence[tuple[str, dict[str, Any]]], limits: TaskLimits, unprotected: bool
) -> list[Any] | None:
    """The replies of one sandbox; `None` if it ended without any.

    Raises `SandboxError` if reasoning-gym cannot be imported in it.
    """
    seconds = _START_SECONDS + BACKSTOP * limits.timeout_seconds * len(tasks)
    result = run_program(
        _program(),
        json.dumps([limits.timeout_seconds, list(tasks)]),
        Limits(seconds, limits.memory_mb, 256 + 8 * len(tasks), _PROCESSES),
        unprotected,
        _packages(),
    )
    _, ready, rest = result.stdout.partition(f"{READY}\n")
    if not ready:
        reason = result.stderr.strip().rpartition("\n")[2] or result.status
        raise SandboxError(f"reasoning-gym did not start in the sandbox: {reason}")
    try:
        replies = json.loads(rest)
    except ValueError:
        return None
    is_whole = isinstance(replies, list) and len(replies) == len(tasks)
    if is_whole:
        return replies
    return None


def _read_reply(reply: Any) -> Outcome:
    """The outcome of one answer. What is no reply comes from a process that broke its limits."""
    match reply:
        case [None, str(raised)]:
            return Outcome((None, raised))
        case [float(score), str(raised)] if math.isfinite(score):
            return Outcome((score, raised))
        case _:
            return Outcome(limit=True)


@cache
def _program() -> str:
    """The worker's file, and what has to happen before its imports."""
    worker = Path(__file__).with_name("reasoning_gym_worker.py").read_text(encoding="utf-8")
    # Threads count as processes, and a library that starts one for each core would find no room.
    return (
        "import os, sys\n"
        "os.environ['OPENBLAS_NUM_THREADS'] = '1'\n"
        f"sys.path[:0] = {list(_packages())!r}\n"
        f"{worker}"
    )


@cache
def _packages() -> tuple[str, ...]:
    """The folders that hold reasoning-gym and the packages that it needs."""
    spec = importlib.util.find_spec("reasoning_gym")
    own = str(Path(spec.origin).parents[1]) if spec and spec.origin else ""
    installed = (path for path in sys.path if path.endswith("-packages") and Path(path).is_dir())
    return tuple(dict.fromkeys([own, *installed]))
