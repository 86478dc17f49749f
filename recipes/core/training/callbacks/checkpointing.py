"""Verifies each checkpoint before older ones are removed."""

from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from recipes.core.models.verify import saved_tensor_names, tied_tensor_names, verify_saved_weights
from recipes.core.runs.checkpoints import prune_checkpoints, write_checksums
from recipes.core.runtime.process_group import on_main_process
from recipes.core.runtime.watchdog import report_activity


class VerifiedCheckpoints(TrainerCallback):
    """Seals each checkpoint, reads the first one back, and only then removes old ones; tells the watch what is done."""

    def __init__(self, limit: int | None) -> None:
        self.limit = limit
        self.read_back = False

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

    def on_save(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        folder = Path(str(args.output_dir))
        checkpoint = folder / f"checkpoint-{state.global_step}"
        names = [] if self.read_back else saved_tensor_names(kwargs["model"])

        def keep() -> None:
            if not self.read_back:
                verify_saved_weights(checkpoint, names, tied_tensor_names(kwargs["model"]))
            write_checksums(checkpoint)
            prune_checkpoints(folder, self.limit, state.best_model_checkpoint)

        on_main_process(args, keep)
        self.read_back = True
