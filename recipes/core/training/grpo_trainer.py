"""TRL's GRPOTrainer with a rollout log, a guard against NaN, and exact resumes.

It trains what GRPOTrainer trains. The private names of TRL and transformers that it relies on:

    _generate_and_score_completions   one generation: log its rollouts, report to the watchdog
    _logs                             the completions, rewards and advantages of that generation
    _step, _buffered_inputs           a generation that is used in several steps: saved and restored
    _save_checkpoint, _get_output_dir, _load_optimizer_and_scheduler   where these are called
"""

import math
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import gather_object, send_to_device
from torch.nn import Module
from trl import GRPOTrainer

from recipes.core.runtime.watchdog import report_activity
from recipes.core.training.autocast import AutocastGeneration
from recipes.core.training.finite_guard import FiniteGuard
from recipes.core.training.rollout_log import Rollout, RolloutLog
from recipes.core.training.watched_rewards import watch_reward
from rewards import text_of


class RecipeGRPOTrainer(AutocastGeneration, FiniteGuard, GRPOTrainer):
    """GRPOTrainer that logs every completion it scores.

    With `full_length_first`, completions of the first step all have `max_completion_length` tokens,
    so that a run that needs too much memory fails there (with transformers' sampling; vLLM reserves
    its memory at the start).
    """

    def __init__(
        self, *args: Any, rollout_log: RolloutLog, full_length_first: bool = False, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.rollout_log = rollout_log
        self.full_length_first = full_length_first
        self._columns: dict[str, list[Any]] = {"question_id": [], "answer": []}
        if self.is_world_process_zero():
            rollout_log.drop_after_resume()

        # Reward models are modules, which TRL calls differently; they report nothing.
        functions: list[Any] = list(self.reward_funcs)
        for index, name in enumerate(self.reward_func_names):
            if not isinstance(functions[index], Module):
                functions[index] = watch_reward(
                    name, functions[index], lambda: self.state.global_step
                )
        self.reward_funcs = functions

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        report_activity(f"step {self.state.global_step}: generating")
        self._set_min_length()
        try:
            output = super()._generate_and_score_completions(inputs)
        except RuntimeError as error:
            # torch.multinomial's message when a probability is NaN, infinite or negative.
            if "probability tensor contains" not in str(error):
                raise
            self._batch = {"prompts": [row["prompt"] for row in inputs]}
            self.abort_on_nonfinite("a probability of the next token", math.nan)

        # Gathered in the order in which TRL gathers everything else.
        for column in self._columns:
            self._columns[column] = gather_object([row.get(column) for row in inputs])
        if self.accelerator.is_main_process:
            is_training = self.model.training  # type: ignore[union-attr]  # set by __init__
            self.rollout_log.append("train" if is_training else "eval", self._rollouts())
        report_activity(f"step {self.state.global_step}: computing the loss")
        return output

    def _set_min_length(self) -> None:
        """Forces full-length completions in the first step of `full_length_first`."""
        # vLLM has its own generation settings, and its memory already.
        if not self.full_length_first or self.args.use_vllm:  # type: ignore[attr-defined]
            return
        is_training = self.model.training  # type: ignore[union-attr]
        is_first = self.state.global_step == 0 and is_training
        self.generation_config.min_new_tokens = self.max_completion_length if is_first else None

    def _rollouts(self) -> list[Rollout]:
        """The rollouts of the latest generation.

        TRL keeps them in `_logs`, at the end: an evaluation adds to what is there.
        """
        # Each column is a deque that TRL keeps for its own table of completions.
        logs: dict[str, Any] = self._logs
        count = len(self._columns["answer"])
        # The last `count` entries of each column.
        prompts = list(logs["prompt"])[-count:]
        completions = list(logs["completion"])[-count:]
        advantages = list(logs["advantages"])[-count:]
        rewards = {name: list(values)[-count:] for name, values in logs["rewards"].items()}
        # One row per completion.
        rollouts = []
        for index in range(count):
            rollouts.append(
                Rollout(
                    step=self.state.global_step,
                    question_id=self._columns["question_id"][index],
                    prompt=prompts[index],
                    completion=text_of(completions[index]),
                    answer=self._columns["answer"][index],
                    rewards={name: _none_if_nan(rewards[name][index]) for name in rewards},
                    advantage=_none_if_nan(advantages[index]),
                )
            )
        return rollouts

    def describe_batch(self) -> dict[str, Any]:
        # Before the first generation there are none.
        rollouts = self._rollouts() if self._columns["answer"] else []
        prompts = self._batch.get("prompts")
        return super().describe_batch() | {"prompts": prompts, "rollouts": rollouts}

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        super()._save_checkpoint(model, trial)
        # A generation that further steps will use: a resumed run must use the same completions.
        args: Any = self.args
        if self._step % (args.steps_per_generation * self.num_iterations):
            # Each process has completions of its own.
            folder = Path(self._get_output_dir(trial=None))
            file = self._generation_file(folder / f"checkpoint-{self.state.global_step}")
            torch.save({"step": self._step, "inputs": self._buffered_inputs}, file)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        super()._load_optimizer_and_scheduler(checkpoint)
        if not checkpoint:
            return
        # Absent where the checkpoint was saved between two generations.
        file = self._generation_file(Path(checkpoint))
        if file.exists():
            saved = torch.load(file, map_location="cpu", weights_only=True)
            self._step = saved["step"]
            self._buffered_inputs = send_to_device(saved["inputs"], self.args.device)

    def _generation_file(self, checkpoint: Path) -> Path:
        return checkpoint / f"generation_{self.args.process_index}.pt"


def _none_if_nan(value: float) -> float | None:
    return None if math.isnan(value) else value
