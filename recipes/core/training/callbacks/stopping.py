"""Stops a training run on SIGTERM or after `max_seconds`."""

import time
from types import FrameType
from typing import Any

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments


class GracefulStop(TrainerCallback):
    """Ends training after `seconds` by the main process's clock, or after a SIGTERM to any process.

    After a SIGTERM the current step is finished and saved.

    Attributes:
        stopped: whether a SIGTERM ended a run that had steps left.
    """

    def __init__(self, seconds: float | None = None) -> None:
        self.seconds = seconds
        self.asked = False
        self.stopped = False

    def ask(self, number: int, frame: FrameType | None) -> None:
        """Signal handler: requests a stop after the current step."""
        self.asked = True

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self.started = time.perf_counter()

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        # All processes must stop after the same step, whichever of them received the signal.
        # Clocks differ, so that only the main process's counts.
        is_over = args.process_index == 0 and self._is_time_over()
        flags = torch.tensor([self.asked, is_over], dtype=torch.int32, device=args.device)
        if args.world_size > 1:
            torch.distributed.all_reduce(flags, torch.distributed.ReduceOp.MAX)
        asked, is_over = map(bool, flags.tolist())

        # A run that has done its last step is complete; a late SIGTERM is ignored.
        self.stopped = asked and not control.should_training_stop
        control.should_save |= self.stopped
        control.should_training_stop |= asked or is_over

    def _is_time_over(self) -> bool:
        return self.seconds is not None and time.perf_counter() - self.started >= self.seconds
