"""The console output of a training run."""

from typing import Any

from transformers import TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_callback import ProgressCallback

# What a line shows of a step's metrics, under short names; all of them are in trainer_state.json.
CONSOLE_METRICS = {
    "loss": "loss",
    "eval_loss": "eval loss",
    "mean_token_accuracy": "token accuracy",
    "reward": "reward",
    "completions/mean_length": "length",
    "completions/clipped_ratio": "cut off",
    "frac_reward_zero_std": "idle groups",
    "kl": "kl",
    "entropy": "entropy",
}


class ConsoleProgress(ProgressCallback):
    """The progress bar, with one short line per log instead of every metric."""

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
        shown = {
            f"{key.split('/')[1]}": value
            for key, value in logs.items()
            if key.startswith("rewards/") and "/mean" in key
        }
        shown |= {
            short: logs[key] for key, short in CONSOLE_METRICS.items() if logs.get(key) is not None
        }
        if shown:
            line = "  ".join(
                f"{name} {value:.3g}" if isinstance(value, float) else f"{name} {value}"
                for name, value in shown.items()
            )
            self.training_bar.write(f"step {state.global_step:>4}/{state.max_steps}  {line}")
