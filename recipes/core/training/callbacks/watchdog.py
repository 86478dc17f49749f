"""Reports the progress of training to the watchdog."""

from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from recipes.core.runtime.watchdog import report_activity


class WatchdogProgress(TrainerCallback):
    """Reports each step and each evaluation batch.

    Progress is compared between ranks, so that all of them report at the same points.
    """

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
