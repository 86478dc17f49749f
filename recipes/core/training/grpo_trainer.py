"""TRL's GRPOTrainer with a rollout log, a guard against NaN, and exact resumes.

The private names of TRL and transformers that it relies on:

    name                              of            why
    _generate_and_score_completions   TRL           one generation: log it, report to the watchdog
    _logs                             TRL           prompts, completions, rewards and advantages
    _metrics                          TRL           the fraction of truncated completions
    _step                             TRL           position within a generation: saved, restored
    _buffered_inputs                  TRL           the generation in use: saved, restored
    _generate_single_turn             TRL           sampling: autocast, our decoding
    _prepare_inputs                   TRL           micro-batches: rows without a gradient leave
    _compute_loss                     TRL           loss of a micro-batch: scaled for those rows
    _get_per_token_logps_and_entropies  TRL         forward passes: rows are packed
    _save_checkpoint                  transformers  when a checkpoint is saved
    _get_output_dir                   transformers  where it is saved
    _load_optimizer_and_scheduler     transformers  when a checkpoint is loaded
    _get_grad_norm                    transformers  before the optimiser's step: checked for NaN
    _run_epoch                        transformers  no step more than there are
"""

import itertools
import math
from typing import Any

from accelerate.utils import gather_object
from torch.nn import Module
from trl import GRPOTrainer

from recipes.core.runtime.watchdog import report_activity
from recipes.core.training.autocast import AutocastGeneration
from recipes.core.training.efficient_loss import EfficientLoss
from recipes.core.training.efficient_sampling import EfficientSampling
from recipes.core.training.flat_groups import ExactFlatGroups
from recipes.core.training.learning_watch import LearningWatch, correctness_names
from recipes.core.training.recipe_trainer import RecipeTrainer
from recipes.core.training.rollout_log import (
    GeneratedRows,
    Rollout,
    RolloutLog,
    latest_rollouts,
    widen_logs,
)
from recipes.core.training.saved_generation import SavedGeneration
from recipes.core.training.watched_rewards import watch_reward


class RecipeGRPOTrainer(
    EfficientSampling,
    AutocastGeneration,
    EfficientLoss,
    SavedGeneration,
    RecipeTrainer,
    ExactFlatGroups,
    GRPOTrainer,
):
    """GRPOTrainer that logs every completion it scores.

    With `efficient`, what has no effect on the gradient is not computed; with `exact_flat_groups`,
    groups without variance have advantages of exactly zero. Without both it trains what TRL trains,
    bit for bit.

    With `full_length_first`, all completions of the first step have `max_completion_length` tokens,
    so that a run that needs too much memory fails there. (This concerns sampling by transformers;
    vLLM reserves its memory at the start.)
    """

    def __init__(
        self,
        *args: Any,
        rollout_log: RolloutLog,
        full_length_first: bool = False,
        efficient: bool = False,
        exact_flat_groups: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.full_length_first = full_length_first
        self.efficient = efficient
        self.exact_flat_groups = exact_flat_groups
        self.prepare_efficient_loss()

        # TRL keeps as many rows as a generation has; an evaluation batch may have more.
        eval_batch = self.args.eval_batch_size * self.args.world_size
        if eval_batch > self.args.generation_batch_size:  # type: ignore[attr-defined]
            self._logs = widen_logs(self._logs, eval_batch)

        # Rollouts: those of steps that will be re-run are dropped.
        self.rollout_log = rollout_log
        self._generated = GeneratedRows([], [])
        self.learning = self._watch_learning()
        if self.is_world_process_zero():
            kept = rollout_log.drop_after_resume()
            for _, rows in itertools.groupby(kept, key=lambda row: row["step"]):
                self.learning.observe(list(rows))

        # Rewards report to the watchdog; TRL calls reward models, which are modules, differently.
        functions: list[Any] = list(self.reward_funcs)
        for index, name in enumerate(self.reward_func_names):
            if not isinstance(functions[index], Module):
                functions[index] = watch_reward(
                    name, functions[index], lambda: self.state.global_step
                )
        self.reward_funcs = functions

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        # Generate and score.
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

        # Log: columns that TRL does not keep are gathered in the same order as those it does.
        self._generated = GeneratedRows(
            question_ids=gather_object([row.get("question_id") for row in inputs]),
            answers=gather_object([row.get("answer") for row in inputs]),
        )
        if self.accelerator.is_main_process:
            rollouts = self._rollouts()
            if self.model.training:  # type: ignore[union-attr]  # set by __init__
                self.rollout_log.append("train", rollouts)
                truncated = self._metrics["train"]["completions/clipped_ratio"][-1]
                self.learning.observe(rollouts, truncated)
                self.learning.warn()
            else:
                self.rollout_log.append("eval", rollouts)
        report_activity(f"step {self.state.global_step}: computing the loss")
        return output

    def learning_problem(self) -> str | None:
        # The main process has seen the rollouts of all processes.
        return self.learning.problem()

    def _watch_learning(self) -> LearningWatch:
        weights = dict(zip(self.reward_func_names, self.reward_weights.tolist(), strict=True))
        group = int(self.args.num_generations)  # type: ignore[attr-defined]
        return LearningWatch(weights, correctness_names(self.reward_funcs), group)

    def _set_min_length(self) -> None:
        """Forces full-length completions in the first step of `full_length_first`."""
        # vLLM has its own generation settings, and its memory already.
        if not self.full_length_first or self.args.use_vllm:  # type: ignore[attr-defined]
            return
        # An evaluation before the first step samples as usual.
        is_training = self.model.training  # type: ignore[union-attr]
        self.generation_config.min_new_tokens = None
        if is_training and self.state.global_step == 0:
            self.generation_config.min_new_tokens = self.max_completion_length

    def _rollouts(self) -> list[Rollout]:
        """The rollouts of the latest generation."""
        return latest_rollouts(self._logs, self._generated, self.state.global_step)

    def describe_batch(self) -> dict[str, Any]:
        """The micro-batch, with the prompts under way and the latest rollouts."""
        prompts = self._batch.get("prompts")
        return super().describe_batch() | {"prompts": prompts, "rollouts": self._rollouts()}
