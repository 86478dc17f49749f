"""The one subclass of TRL's GRPOTrainer: it keeps every rollout."""

import math
from pathlib import Path
from typing import Any

from accelerate.utils import gather_object
from trl import GRPOTrainer

from recipes.core import jsonl
from rewards import text_of


class RolloutGRPOTrainer(GRPOTrainer):
    """GRPOTrainer that appends every completion it judges to `rollouts_dir`/train.jsonl (and eval.jsonl), one row each:

        {"step": 12, "prompt": [{"role": "user", "content": "23*7+45"}], "completion": "<think>...", "answer": "206",
         "rewards": {"accuracy": 1.0, "format": 1.0}, "advantage": 0.7}

    A reward of `None` is one that could not be judged. Nothing that is trained differs from GRPOTrainer.
    """

    def __init__(self, *args: Any, rollouts_dir: Path, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.rollouts_dir = rollouts_dir

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        output = super()._generate_and_score_completions(inputs)
        answers = gather_object([row.get("answer") for row in inputs])  # in the order in which TRL gathers the rest
        if self.accelerator.is_main_process:
            mode = "train" if self.model.training else "eval"  # type: ignore[union-attr]  # set by __init__
            jsonl.append(self.rollouts_dir / f"{mode}.jsonl", self._rollouts(answers))
        return output

    def _rollouts(self, answers: list[str | None]) -> list[dict[str, Any]]:
        # TRL keeps the completions of the latest generation in `_logs`; an evaluation adds to them, so ours are the last.
        logs: dict[str, Any] = self._logs
        count = len(answers)
        columns = [list(log)[-count:] for log in (logs["prompt"], logs["completion"], logs["advantages"])]
        scores = {name: list(values)[-count:] for name, values in logs["rewards"].items()}
        return [
            {
                "step": self.state.global_step,
                "prompt": prompt,
                "completion": text_of(completion),
                "answer": answer,
                "rewards": {name: _none_if_nan(values[index]) for name, values in scores.items()},
                "advantage": _none_if_nan(advantage),
            }
            for index, (answer, prompt, completion, advantage) in enumerate(zip(answers, *columns, strict=True))
        ]


def _none_if_nan(value: float) -> float | None:
    return None if math.isnan(value) else value
