"""Calls reasoning-gym's verifiers; only imported in worker processes, because it takes seconds."""

from typing import Any

from reasoning_gym import get_score_answer_fn


def verify(answer: str, entry: dict[str, Any]) -> float:
    """The score that the task's verifier gives to `answer`."""
    return float(get_score_answer_fn(entry["metadata"]["source_dataset"])(answer, entry))
