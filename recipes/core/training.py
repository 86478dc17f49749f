"""How a trainer is run: what it shows while it trains, and what it leaves."""

import time
from pathlib import Path
from typing import Any

from accelerate.utils import broadcast_object_list
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_callback import PrinterCallback, ProgressCallback

from recipes.core import manifest

# What a line shows of a step's metrics, under short names; all of them are in trainer_state.json.
_SHOWN = {
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


class ShortProgress(ProgressCallback):
    """The progress bar, with one short line per log instead of every metric."""

    def on_log(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, logs: Any = None, **kwargs: Any
    ) -> None:
        if not state.is_world_process_zero or self.training_bar is None:
            return
        shown = {f"{key.split('/')[1]}": value for key, value in logs.items() if key.startswith("rewards/") and "/mean" in key}
        shown |= {short: logs[key] for key, short in _SHOWN.items() if logs.get(key) is not None}
        if shown:
            line = "  ".join(
                f"{name} {value:.3g}" if isinstance(value, float) else f"{name} {value}" for name, value in shown.items()
            )
            self.training_bar.write(f"step {state.global_step:>4}/{state.max_steps}  {line}")


class TimeLimit(TrainerCallback):
    """Ends training after `seconds`, by the clock of the first process."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        self.started = time.perf_counter()

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        over = [time.perf_counter() - self.started >= self.seconds]
        control.should_training_stop |= broadcast_object_list(over)[0]


def train(trainer: Trainer, stage: str, made_of: dict[str, Any], checkpoint: str | None, started: float) -> None:
    """Trains from `checkpoint` (or step 0) and leaves the model, its metrics and its manifest in the trainer's `output_dir`."""
    trainer.remove_callback(ProgressCallback)
    trainer.remove_callback(PrinterCallback)  # one of the two is what transformers chose to print with
    trainer.add_callback(ShortProgress)
    path = Path(str(trainer.args.output_dir)) / "manifest.json"
    if trainer.is_world_process_zero():
        manifest.write(path, stage, made_of, started, status="running")
    trainer.train(resume_from_checkpoint=checkpoint)
    trainer.save_model()
    trainer.save_state()
    if trainer.is_world_process_zero():
        facts = {"status": "finished", "steps": trainer.state.global_step, "processes": trainer.args.world_size}
        facts["distributed_type"] = trainer.accelerator.distributed_type.value
        manifest.write(path, stage, made_of, started, **facts)
    trainer.end()
