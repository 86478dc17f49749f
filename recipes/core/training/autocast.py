"""Casts the weights to bfloat16 once per generation instead of once per token."""

from typing import Any

from peft import PeftModel


class AutocastGeneration:
    """Mixin for trainers that sample.

    Within one autocast context a float32 weight is cast once and then cached. It overrides TRL's
    private `_generate_single_turn`, which samples one batch of completions.
    """

    def _generate_single_turn(self: Any, *args: Any, **kwargs: Any) -> Any:
        generate = super()._generate_single_turn  # type: ignore[misc]  # TRL's
        # The base model of an adapter has its final dtype already.
        if isinstance(self.accelerator.unwrap_model(self.model), PeftModel):
            return generate(*args, **kwargs)
        with self.accelerator.autocast():
            return generate(*args, **kwargs)
