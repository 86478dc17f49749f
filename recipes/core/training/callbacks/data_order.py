"""Keeps the order of rows the same when a run resumes in the middle of an epoch."""

from typing import Any

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_pt_utils import LengthGroupedSampler
from trl.trainer.utils import RepeatSampler


class ReproducibleOrder(TrainerCallback):
    """Seeds every sampler with the number of the epoch that begins.

    transformers sets the epoch of the samplers it finds, not of all those behind accelerate's
    shards. The sampler of `group_by_length` uses torch's global generator and GRPO's has its own;
    a checkpoint holds neither's state at the beginning of the epoch.
    """

    def on_epoch_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        epoch = int((state.epoch or 0) + 1e-6)  # 1e-6 against rounding
        # From the dataloader inwards: accelerate and transformers wrap samplers in samplers.
        sampler = _inner_sampler(kwargs["train_dataloader"])
        # From the outermost sampler, which accelerate added, to the innermost.
        while sampler is not None:
            # Samplers with a generator get a new one; the others derive their seed from the epoch.
            if isinstance(sampler, LengthGroupedSampler | RepeatSampler):
                sampler.generator = torch.Generator().manual_seed(args.seed + epoch)
            elif hasattr(sampler, "set_epoch"):
                sampler.set_epoch(epoch)
            sampler = _inner_sampler(sampler)


def _inner_sampler(outer: Any) -> Any:
    """The sampler inside a dataloader or another sampler; `None` at the innermost one."""
    inner = getattr(outer, "batch_sampler", None)
    return inner or getattr(outer, "sampler", None)
