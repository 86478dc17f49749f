"""The subclasses of TRL's trainers: they stop at a number that is none, and GRPO keeps every rollout."""

import contextlib
import functools
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import gather_object, send_to_device
from torch.nn import Module
from trl import GRPOTrainer
from trl.trainer.utils import is_async_callable

from recipes.core.files import append_jsonl
from recipes.core.runtime.watchdog import report_activity
from recipes.core.training.autocast import AutocastGeneration
from recipes.core.training.finite_guard import FiniteGuard
from rewards import text_of


class RecipeGRPOTrainer(AutocastGeneration, FiniteGuard, GRPOTrainer):
    """GRPOTrainer that appends every completion it judges to `rollouts_dir`/train.jsonl (and eval.jsonl), one row each:

        {"step": 12, "prompt": [{"role": "user", "content": "23*7+45"}], "completion": "<think>...", "answer": "206",
         "rewards": {"accuracy": 1.0, "format": 1.0}, "advantage": 0.7}

    A reward of `None` is one that could not be judged. Nothing that is trained differs from GRPOTrainer, but that a checkpoint
    keeps completions that are used in several steps, and that with `full_length_first` those of the first step end nowhere before
    `max_completion_length` (transformers' generate; vLLM has memory of its own).
    """

    def __init__(
        self, *args: Any, rollouts_dir: Path, full_length_first: bool = False, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.rollouts_dir, self.full_length_first = rollouts_dir, full_length_first
        self.reward_funcs = [
            one if isinstance(one, Module) else self._watched(name, one)
            for name, one in zip(self.reward_func_names, self.reward_funcs, strict=True)
        ]
        self._answers: list[str | None] = []

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        report_activity(f"step {self.state.global_step}: generating")
        if self.full_length_first and not self.args.use_vllm:  # type: ignore[attr-defined]
            full = self.state.global_step == 0 and self.model.training  # type: ignore[union-attr]
            self.generation_config.min_new_tokens = self.max_completion_length if full else None
        try:
            output = super()._generate_and_score_completions(inputs)
        except RuntimeError as error:  # torch's sampling
            if "probability tensor contains" not in str(error):
                raise
            self._batch = {"prompts": [row["prompt"] for row in inputs]}
            self.stop_at("a probability of the next token", math.nan)
        self._answers = gather_object(
            [row.get("answer") for row in inputs]
        )  # in the order in which TRL gathers the rest
        if self.accelerator.is_main_process:
            mode = "train" if self.model.training else "eval"  # type: ignore[union-attr]  # set by __init__
            append_jsonl(self.rollouts_dir / f"{mode}.jsonl", self._rollouts())
        report_activity(f"step {self.state.global_step}: computing the loss")
        return output

    def _watched(self, name: str, function: Any) -> Any:
        """A reward function that says when it judges and when it has: then who waits for another process has come further."""

        @contextlib.contextmanager
        def judging() -> Iterator[None]:
            report_activity(f"step {self.state.global_step}: judging by {name}")
            yield
            report_activity(f"step {self.state.global_step}: judged by {name}")

        @functools.wraps(function)
        def judge(*args: Any, **kwargs: Any) -> Any:
            with judging():
                return function(*args, **kwargs)

        @functools.wraps(function)
        async def judge_later(*args: Any, **kwargs: Any) -> Any:
            with judging():
                return await function(*args, **kwargs)

        return judge_later if is_async_callable(function) else judge

    def _rollouts(self) -> list[dict[str, Any]]:
        # TRL keeps the completions of the latest generation in `_logs`; an evaluation adds to them, so ours are the last.
        logs: dict[str, Any] = self._logs
        count = len(self._answers)
        columns = [
            list(log)[-count:] for log in (logs["prompt"], logs["completion"], logs["advantages"])
        ]
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
            for index, (answer, prompt, completion, advantage) in enumerate(
                zip(self._answers, *columns, strict=True)
            )
        ]

    def batch_under_way(self) -> dict[str, Any]:
        rollouts = self._rollouts() if self._answers else []
        return super().batch_under_way() | {
            "prompts": self._batch.get("prompts"),
            "rollouts": rollouts,
        }

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        super()._save_checkpoint(model, trial)
        args: Any = self.args
        if self._step % (args.steps_per_generation * self.num_iterations):
            torch.save(
                {"step": self._step, "inputs": self._buffered_inputs},
                self._generation_file(self._checkpoint_folder()),
            )

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        super()._load_optimizer_and_scheduler(checkpoint)
        if checkpoint and (file := self._generation_file(Path(checkpoint))).exists():
            saved = torch.load(file, map_location="cpu", weights_only=True)
            self._step, self._buffered_inputs = (
                saved["step"],
                send_to_device(saved["inputs"], self.args.device),
            )

    def _checkpoint_folder(self) -> Path:
        return Path(self._get_output_dir(trial=None)) / f"checkpoint-{self.state.global_step}"

    def _generation_file(self, checkpoint: Path) -> Path:
        return checkpoint / f"generation_{self.args.process_index}.pt"


def _none_if_nan(value: float) -> float | None:
    return None if math.isnan(value) else value
