"""Casts the weights to bfloat16 once per generation instead of once per token."""

import contextlib
from typing import Any

from peft import PeftModel


class AutocastGeneration:
    """Mixin for trainers that sample.

    Inside one autocast context a float32 weight is cast once and cached. The base model of an
    adapter has its final dtype already.
    """

    def _generate_single_turn(self: Any, *args: Any, **kwargs: Any) -> Any:
        has_adapter = isinstance(self.accelerator.unwrap_model(self.model), PeftModel)
        with contextlib.nullcontext() if has_adapter else self.accelerator.autocast():
            return super()._generate_single_turn(*args, **kwargs)  # type: ignore[misc]  # TRL's
