"""The console output of a training run: one progress bar, and one short line per log."""

import logging
from contextlib import ExitStack
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from recipes.core.runtime.console import progress_display

logger = logging.getLogger(__name__)

# The metrics on the console, under short names; trainer_state.json has all of them.
CONSOLE_METRICS = {
    "loss": "loss",
    "eval_loss": "eval loss",
    "mean_token_accuracy": "token accuracy",
    "reward": "reward",
    "completions/mean_length": "length",
    "completions/clipped_ratio": "truncated",
    "frac_reward_zero_std": "zero-variance groups",
    "kl": "kl",
    "entropy": "entropy",
}


class ConsoleProgress(TrainerCallback):
    """A progress bar on a terminal, and one line of the most important metrics per log."""

    def __init__(self) -> None:
        self.stack = ExitStack()

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        hidden = not state.is_world_process_zero or bool(args.disable_tqdm)
        # A resumed run has only the rest of the steps left.
        remaining = state.max_steps - state.global_step
        self.bar = self.stack.enter_context(progress_display("training", remaining, hidden))

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self.bar.update("")

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: Any = None,
        **kwargs: Any,
    ) -> None:
        line = format_metrics(logs or {})
        if line and state.is_world_process_zero:
            logger.info("step %4d/%d  %s", state.global_step, state.max_steps, line)

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self.stack.close()


def format_metrics(logs: dict[str, Any]) -> str:
    """`accuracy 0.43  format 0.91  loss 0.0021 ...`: mean rewards first, then `CONSOLE_METRICS`."""
    # TRL logs rewards as `rewards/accuracy/mean`.
    shown: dict[str, Any] = {}
    # Rewards come first: they say whether the model learns.
    for key, value in logs.items():
        if key.startswith("rewards/") and "/mean" in key:
            shown[key.split("/")[1]] = value
    # Then those of the other metrics that this log has.
    for key, name in CONSOLE_METRICS.items():
        if logs.get(key) is not None:
            shown[name] = logs[key]
    return "  ".join(f"{name} {_format(value)}" for name, value in shown.items())


def _format(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3g}"
    return str(value)
