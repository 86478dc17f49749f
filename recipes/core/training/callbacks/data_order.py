"""Keeps the order of the rows the same when a run resumes in the middle of an epoch."""

from typing import Any

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_pt_utils import LengthGroupedSampler
from trl.trainer.utils import RepeatSampler


class ReproducibleOrder(TrainerCallback):
    """Tells every sampler which epoch begins, so that the order of the rows is the same in a run that goes on in its middle.

    transformers tells only those it finds, not all behind accelerate's shards; the sampler of `group_by_length` draws from torch's
    own generator and GRPO's from one of its own, and neither's state at the beginning of the epoch is in a checkpoint.
    """

    def on_epoch_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        epoch, sampler = int((state.epoch or 0) + 1e-6), kwargs["train_dataloader"]
        while sampler := getattr(sampler, "batch_sampler", None) or getattr(
            sampler, "sampler", None
        ):
            if isinstance(sampler, LengthGroupedSampler | RepeatSampler):
                sampler.generator = torch.Generator().manual_seed(args.seed + epoch)
            elif hasattr(sampler, "set_epoch"):
                sampler.set_epoch(epoch)
