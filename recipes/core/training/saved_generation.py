"""Saves a generation that several steps use, so that a resumed run uses the same completions."""

from pathlib import Path
from typing import Any

import torch
from accelerate.utils import send_to_device


class SavedGeneration:
    """Mixin for GRPOTrainer: each process writes generation_<rank>.pt into the checkpoint.

    Without it a run that resumes within a generation would sample new completions, and end with
    other weights. The private names that it relies on are listed in grpo_trainer.py.
    """

    def _save_checkpoint(self: Any, model: Any, trial: Any) -> None:
        super()._save_checkpoint(model, trial)  # type: ignore[misc]  # transformers'
        # At the end of a generation there is nothing left to use.
        micro_steps = self.args.steps_per_generation * self.num_iterations
        if self._step % micro_steps == 0:
            return
        # The position within the generation, and its micro-batches.
        folder = Path(self._get_output_dir(trial=None))
        checkpoint = folder / f"checkpoint-{self.state.global_step}"
        generation = {"step": self._step, "inputs": self._buffered_inputs}
        torch.save(generation, _generation_file(checkpoint, self.args.process_index))

    def _load_optimizer_and_scheduler(self: Any, checkpoint: str | None) -> None:
        super()._load_optimizer_and_scheduler(checkpoint)  # type: ignore[misc]  # transformers'
        if not checkpoint:
            return
        # A checkpoint at the end of a generation has no such file.
        file = _generation_file(Path(checkpoint), self.args.process_index)
        if file.exists():
            generation = torch.load(file, map_location="cpu", weights_only=True)
            self._step = generation["step"]
            self._buffered_inputs = send_to_device(generation["inputs"], self.args.device)


def _generation_file(checkpoint: Path, rank: int) -> Path:
    return checkpoint / f"generation_{rank}.pt"
