"""The rollouts of a GRPO run as JSON lines: every completion with its rewards and advantage."""

import math
from collections import defaultdict, deque
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

from recipes.core.files import append_jsonl, filter_jsonl
from rewards import text_of


class Rollout(TypedDict):
    """One row of rollouts/train.jsonl or eval.jsonl:

        {"step": 12, "question_id": "b5e1a6f9c3d2e804",
         "prompt": [{"role": "user", "content": "23*7+45"}],
         "completion": "<think>...", "answer": "206",
         "rewards": {"accuracy": 1.0, "format": 1.0}, "advantage": 0.7}

    A reward is `None` where the completion could not be scored.
    """

    step: int
    question_id: str | None
    prompt: Any
    completion: str
    answer: str | list[str] | None
    rewards: dict[str, float | None]
    advantage: float | None


class RolloutLog:
    """The files rollouts/train.jsonl and eval.jsonl of a run; for the main process only."""

    def __init__(self, folder: Path, resume_step: int | None) -> None:
        """`resume_step` is the step after which the run resumes; `None` for a new run."""
        self.folder = folder
        self.resume_step = resume_step

    def drop_after_resume(self) -> list[Any]:
        """Removes the rollouts of steps that will be re-run; returns those of training it keeps.

        A row's `step` counts the steps done before it. When checkpoint N is saved, the training
        rollouts of all steps below N and the evaluation at N have been logged.
        """
        step = self.resume_step
        # Without a checkpoint, every row belongs to an earlier run.
        if step is None:
            filter_jsonl(self._file("train"), lambda row: False)
            filter_jsonl(self._file("eval"), lambda row: False)
            return []
        filter_jsonl(self._file("eval"), lambda row: row["step"] <= step)
        return filter_jsonl(self._file("train"), lambda row: row["step"] < step)

    def append(self, mode: str, rollouts: list[Rollout]) -> None:
        """Appends rollouts; `mode` is train or eval."""
        append_jsonl(self._file(mode), rollouts)

    def _file(self, mode: str) -> Path:
        return self.folder / f"{mode}.jsonl"


@dataclass(frozen=True)
class GeneratedRows:
    """The columns of the questions of one generation: a row per completion, of all processes."""

    question_ids: list[str | None]
    answers: list[Any]


def latest_rollouts(logs: Mapping[str, Any], rows: GeneratedRows, step: int) -> list[Rollout]:
    """The rollouts of the latest generation.

    Args:
        logs: TRL's columns `prompt`, `completion`, `advantages` and, by name, `rewards`. An
            evaluation appends to the training completions, so the latest are the last ones.
        rows: of that generation, in the same order.
    """
    # The same rows of every column.
    count = len(rows.answers)
    prompts = list(logs["prompt"])[-count:]
    completions = list(logs["completion"])[-count:]
    advantages = list(logs["advantages"])[-count:]
    rewards = {name: list(values)[-count:] for name, values in logs["rewards"].items()}

    # One row per completion.
    rollouts = []
    for index in range(count):
        rollouts.append(
            Rollout(
                step=step,
                question_id=rows.question_ids[index],
                prompt=prompts[index],
                completion=text_of(completions[index]),
                answer=rows.answers[index],
                rewards={name: _none_if_nan(rewards[name][index]) for name in rewards},
                advantage=_none_if_nan(advantages[index]),
            )
        )
    return rollouts


def widen_logs(logs: Mapping[str, Any], rows: int) -> dict[str, Any]:
    """TRL's empty columns, with room for the latest `rows` rows.

    Columns by name, such as the rewards, are made when the first row has them.
    """
    wider: dict[str, Any] = {}
    for name, column in logs.items():
        if isinstance(column, defaultdict):
            wider[name] = defaultdict(lambda: deque(maxlen=rows))
        else:
            wider[name] = deque(maxlen=rows)
    return wider


def _none_if_nan(value: float) -> float | None:
    # TRL keeps a reward of `None` as NaN, which JSON does not have.
    if math.isnan(value):
        return None
    return value
