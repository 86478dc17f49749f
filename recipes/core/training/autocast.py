"""Casts the weights to bfloat16 once per generation instead of once per token."""

import contextlib
from typing import Any

from peft import PeftModel


class AutocastGeneration:
    """Casts float32 weights to bfloat16 once for a whole generation, not for every token. (An adapter's base has that dtype, and
    is not cast.)"""

    def _generate_single_turn(self: Any, *args: Any, **kwargs: Any) -> Any:
        full = not isinstance(self.accelerator.unwrap_model(self.model), PeftModel)
        with self.accelerator.autocast() if full else contextlib.nullcontext():
            return super()._generate_single_turn(*args, **kwargs)  # type: ignore[misc]  # TRL's, of the class beside this one
