"""Stops a training run on SIGTERM or after `max_seconds`."""

import time
from types import FrameType
from typing import Any

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments


class GracefulStop(TrainerCallback):
    """Ends training after `seconds`, by the clock of the first process; and, once any process was sent SIGTERM, after the step
    under way, which is saved. `stopped` tells the two apart."""

    def __init__(self, seconds: float | None = None) -> None:
        self.seconds = seconds
        self.asked = self.stopped = False

    def ask(self, number: int, frame: FrameType | None) -> None:
        self.asked = True

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self.started = time.perf_counter()

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        over = (
            self.seconds is not None
            and time.perf_counter() - self.started >= self.seconds
            and args.process_index == 0
        )
        flags = torch.tensor([self.asked, over], dtype=torch.int32, device=args.device)
        if args.world_size > 1:
            torch.distributed.all_reduce(flags, torch.distributed.ReduceOp.MAX)
        asked, over = map(bool, flags.tolist())
        # A run that has done its last step is finished, whatever it was sent.
        self.stopped = asked and not control.should_training_stop
        control.should_save |= self.stopped
        control.should_training_stop |= asked or over
