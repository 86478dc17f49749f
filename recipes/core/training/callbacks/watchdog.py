"""Tells the watchdog how far training has come."""

from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from recipes.core.runtime.watchdog import report_activity


class WatchdogProgress(TrainerCallback):
    """Reports every step and every evaluation batch."""

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        report_activity(f"step {state.global_step}: computing the loss")

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        report_activity(f"step {state.global_step} done: evaluating or saving")

    def on_prediction_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        report_activity(f"step {state.global_step} done: evaluating")
