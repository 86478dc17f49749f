"""Verifies checkpoints, and removes old ones only after that."""

from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from recipes.core.models.verify import saved_tensor_names, tied_tensor_names, verify_saved_weights
from recipes.core.runs.checkpoints import prune_checkpoints, write_checksums
from recipes.core.runtime.process_group import on_main_process


class VerifiedCheckpoints(TrainerCallback):
    """Reads the first checkpoint back, writes checksums of each one, then removes old ones.

    One checkpoint shows whether this combination of model, adapter and sharding can be saved at
    all; reading every one back would cost too much.
    """

    def __init__(self, limit: int | None) -> None:
        """`limit` is how many checkpoints to keep besides the best one; `None` for all."""
        self.limit = limit
        self.is_verified = False

    def on_save(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        model = kwargs["model"]
        folder = Path(str(args.output_dir))
        checkpoint = folder / f"checkpoint-{state.global_step}"
        # Under ZeRO-3 all processes must take part in collecting the names.
        names: list[str] | None = []
        if not self.is_verified:
            names = saved_tensor_names(model)

        # The files are the main process's business; an error in them ends all processes.
        def verify_and_prune() -> None:
            if not self.is_verified:
                verify_saved_weights(checkpoint, names, tied_tensor_names(model))
            write_checksums(checkpoint)
            # Last, because until here the old ones were the only ones known to be intact.
            prune_checkpoints(folder, self.limit, state.best_model_checkpoint)

        on_main_process(args, verify_and_prune)
        self.is_verified = True
