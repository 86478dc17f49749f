"""The rollouts of a GRPO run: every completion with its rewards and its advantage, as JSON lines."""

from pathlib import Path
from typing import Any, TypedDict

from recipes.core.files import append_jsonl, filter_jsonl


class Rollout(TypedDict):
    """One row of rollouts/train.jsonl or eval.jsonl:

        {"step": 12, "question_id": "b5e1a6f9c3d2e804",
         "prompt": [{"role": "user", "content": "23*7+45"}], "completion": "<think>...",
         "answer": "206", "rewards": {"accuracy": 1.0, "format": 1.0}, "advantage": 0.7}

    A reward is `None` where the completion could not be scored.
    """

    step: int
    question_id: str | None
    prompt: Any
    completion: str
    answer: str | None
    rewards: dict[str, float | None]
    advantage: float | None


class RolloutLog:
    """The files rollouts/train.jsonl and rollouts/eval.jsonl of a run; for the main process only."""

    def __init__(self, folder: Path, resume_step: int | None) -> None:
        """`resume_step` is the step that a checkpoint was saved after; `None` without one."""
        self.folder = folder
        self.resume_step = resume_step

    def drop_after_resume(self) -> None:
        """Removes the rollouts of steps that will be re-run.

        The rows of a training step were written before it, those of an evaluation after it.
        """
        step = self.resume_step or 0
        resumes = self.resume_step is not None
        # Step 200 has no rollouts yet at checkpoint-200, but its evaluation is done.
        filter_jsonl(self._file("train"), lambda row: row["step"] < step)
        filter_jsonl(self._file("eval"), lambda row: resumes and row["step"] <= step)

    def append(self, mode: str, rollouts: list[Rollout]) -> None:
        """Appends rollouts; `mode` is train or eval."""
        append_jsonl(self._file(mode), rollouts)

    def _file(self, mode: str) -> Path:
        return self.folder / f"{mode}.jsonl"
