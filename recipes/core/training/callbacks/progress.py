"""The console output of a training run: one progress bar, and one short line per log."""

from typing import Any

from transformers import TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_callback import ProgressCallback

# The metrics that a line shows, under short names; all of them are in trainer_state.json.
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


class ConsoleProgress(ProgressCallback):
    """transformers' progress bar, with a line of the most important metrics instead of all."""

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: Any = None,
        **kwargs: Any,
    ) -> None:
        if not state.is_world_process_zero or self.training_bar is None:
            return
        line = format_metrics(logs)
        if line:
            self.training_bar.write(f"step {state.global_step:>4}/{state.max_steps}  {line}")


def format_metrics(logs: dict[str, Any]) -> str:
    """`accuracy 0.43  format 0.91  loss 0.0021 ...`: mean rewards first, then `CONSOLE_METRICS`."""
    shown: dict[str, Any] = {}
    for key, value in logs.items():
        if key.startswith("rewards/") and "/mean" in key:
            shown[key.split("/")[1]] = value
    for key, name in CONSOLE_METRICS.items():
        if logs.get(key) is not None:
            shown[name] = logs[key]
    return "  ".join(f"{name} {_format(value)}" for name, value in shown.items())


def _format(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
