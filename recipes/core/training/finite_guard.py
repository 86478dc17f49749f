"""Stops training before NaN or infinity reaches the weights, and saves the offending batch."""

import math
from pathlib import Path
from typing import Any, NoReturn

import torch
from transformers import Trainer

from recipes.core.errors import UserError
from recipes.core.files import write_json


class FiniteGuard(Trainer):
    """Mixin for trainers that checks the loss and the gradient norm; training is unchanged.

    It overrides transformers' private `_get_grad_norm`, which runs between the backward pass and
    the optimiser's step.
    """

    def compute_loss(self, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        result = super().compute_loss(model, inputs, *args, **kwargs)
        loss: Any = result
        if isinstance(result, tuple):  # the loss and the model's outputs
            loss = result[0]
        # The batch is kept for the report: the gradient norm is known only after the backward pass.
        if self.model.training:  # type: ignore[union-attr]  # set by __init__
            self._batch = inputs
            if not torch.isfinite(loss).all():
                self.abort_on_nonfinite("the loss", loss.item())
        return result

    def _get_grad_norm(self, model: Any, grad_norm: Any = None) -> Any:
        norm = super()._get_grad_norm(model, grad_norm)
        # DeepSpeed has no norm before its first step; the scaler of fp16 skips such steps itself.
        if norm is None or self.accelerator.scaler is not None:
            return norm
        value = float(norm)
        if not math.isfinite(value):
            self.abort_on_nonfinite("the gradient norm", value)
        return norm

    def abort_on_nonfinite(self, quantity: str, value: float) -> NoReturn:
        """Writes the current batch to a file and raises `UserError`."""
        step = self.state.global_step
        # Each process may fail by itself, so each has its own file.
        name = f"not_finite-{step}-{self.args.process_index}.json"
        file = Path(str(self.args.output_dir)) / name
        problem = f"{quantity} is {value}"
        write_json(file, {"step": step, "what": problem, **self.describe_batch()})
        raise UserError(
            f"step {step}: {problem}; the batch is in {file}. Lower learning_rate, or train in "
            "float32 (bf16: false); the last checkpoint was saved before"
        )

    def describe_batch(self) -> dict[str, Any]:
        """The micro-batch as text, and the names of its tensors that hold NaN or infinity."""
        # Only tensors: some trainers keep other things in the batch.
        tensors = {}
        for key, value in getattr(self, "_batch", {}).items():
            if isinstance(value, torch.Tensor):
                tensors[key] = value
        decode = self.processing_class.batch_decode  # type: ignore[union-attr]  # a tokenizer

        # Token ids become text, one number per row stays a number, the rest is too large.
        described: dict[str, Any] = {}
        not_finite = []
        for key, value in tensors.items():
            if key.endswith("ids") and value.dim() == 2:
                described[key] = decode(value)
            elif value.is_floating_point() and value.dim() == 1:
                described[key] = value.tolist()
            if value.is_floating_point() and not torch.isfinite(value).all():
                not_finite.append(key)
        return {"batch": described, "not_finite": not_finite}
