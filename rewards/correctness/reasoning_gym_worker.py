"""Calls reasoning-gym's verifiers; only imported in worker processes, because it takes seconds."""

import contextlib
import os
from collections.abc import Callable
from typing import Any

from reasoning_gym import get_score_answer_fn

Verifier = Callable[[str, dict[str, Any]], float]


def verify(answer: str, entry: dict[str, Any]) -> tuple[float | None, str]:
    """The score that the task's verifier gives to `answer`, and what it raised, if anything.

    The score is `None` if the verifier raises on the entry's own answer, too: then it is the entry
    that cannot be read, and 0.0 if it raises on this answer alone.
    """
    verifier = get_score_answer_fn(entry["metadata"]["source_dataset"])
    # Verifiers print what they stumble over, and a process's standard output is for results.
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
        entry = _readable(entry, verifier)
        try:
            return float(verifier(answer, entry)), ""
        except (MemoryError, RecursionError):
            raise  # limits of the worker
        except Exception as error:
            # Whatever a verifier raises on a model's text alone is its answer to that text.
            score = None if _score_of_own_answer(entry, verifier) is None else 0.0
            return score, repr(error)[:200]


def _readable(entry: dict[str, Any], verifier: Verifier) -> dict[str, Any]:
    """The entry as the task made it: with tuples, where lists are not accepted for them.

    JSON and Arrow know no tuples, and arc_agi's verifier compares with one.
    """
    if _score_of_own_answer(entry, verifier) == 1.0:
        return entry
    with_tuples = {**entry, "metadata": _with_tuples(entry["metadata"])}
    return with_tuples if _score_of_own_answer(with_tuples, verifier) == 1.0 else entry


def _score_of_own_answer(entry: dict[str, Any], verifier: Verifier) -> float | None:
    """The score of the entry's own answer; `None` if the verifier raises on it."""
    try:
        return float(verifier(entry["answer"], entry))
    except Exception:
        return None


def _with_tuples(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _with_tuples(item) for key, item in value.items()}
    if isinstance(value, list):
        return tuple(_with_tuples(item) for item in value)
    return value
