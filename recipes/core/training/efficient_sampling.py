"""Samples completions in the trainer as `generate` does: see generation/decoding.py."""

import functools
import math
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from itertools import groupby
from typing import Any

from accelerate.utils import DistributedType
from peft import PeftModel

from recipes.core.generation.decoding import decode_with_shrinking_batch
from recipes.core.generation.sampling import has_cache
from recipes.core.models.merged_adapter import can_merge, merged_adapter


class EfficientSampling:
    """Mixin for GRPOTrainer: a prompt is read once, finished completions leave the batch.

    An adapter is added to the weights meanwhile. The distribution is that of TRL's sampling, the
    random numbers are others. It overrides TRL's private `_generate_single_turn`.
    """

    efficient: bool

    def _generate_single_turn(
        self: Any,
        prompt_ids: list[list[int]],
        images: Any,
        multimodal_fields: dict[str, Any],
        num_generations: int,
        has_tool_images: bool = False,
    ) -> Any:
        sample = super()._generate_single_turn  # type: ignore[misc]  # TRL's
        # What our decoding cannot do is left to TRL's.
        model = self.accelerator.unwrap_model(self.model_wrapped)
        if not self._samples_efficiently(model) or images or multimodal_fields:
            return sample(prompt_ids, images, multimodal_fields, num_generations, has_tool_images)

        # Each prompt once, for as many completions as all of them have in a row.
        repeats = common_repeats(prompt_ids)
        with self._merged(model), _generate_with(model, repeats):
            return sample(prompt_ids[::repeats], images, multimodal_fields, repeats)

    def _samples_efficiently(self: Any, model: Any) -> bool:
        """Whether the whole model is here, and no other library samples from it."""
        sharded = {DistributedType.FSDP, DistributedType.DEEPSPEED, DistributedType.MEGATRON_LM}
        return (
            self.efficient
            and not self.use_vllm
            and not self.use_transformers_continuous_batching
            and self.accelerator.distributed_type not in sharded
            and has_cache(model)
        )

    def _merged(self: Any, model: Any) -> Any:
        if isinstance(model, PeftModel) and can_merge(model):
            return merged_adapter(model)
        return nullcontext()


def common_repeats(prompts: list[list[int]]) -> int:
    """The largest number of times that every prompt is there in a row.

    A group may be cut at the border of two processes.
    """
    # Equal neighbours form a run; what divides all runs divides the batch into groups.
    runs = [len(list(run)) for _, run in groupby(prompts)]
    return math.gcd(*runs)


@contextmanager
def _generate_with(model: Any, samples: int) -> Iterator[None]:
    """Within the block, `model.generate` is our decoding."""
    model.generate = functools.partial(
        model.generate, custom_generate=decode_with_shrinking_batch, samples=samples
    )
    try:
        yield
    finally:
        del model.generate  # what is left is the method of its class
