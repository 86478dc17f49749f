"""Stops training before NaN or infinity reaches the weights."""

import math
from pathlib import Path
from typing import Any

import torch
from transformers import Trainer

from recipes.core.errors import UserError
from recipes.core.files import write_json


class FiniteGuard(Trainer):
    """Stops before NaN or infinity reaches the weights, and leaves the batch that it came of. Nothing that is trained differs."""

    def compute_loss(self, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        result = super().compute_loss(model, inputs, *args, **kwargs)
        loss = result[0] if isinstance(result, tuple) else result
        if self.model.training:  # type: ignore[union-attr]  # set by __init__
            self._batch = inputs
            if not torch.isfinite(loss).all():
                self.stop_at("the loss", loss.item())
        return result

    def _get_grad_norm(self, model: Any, grad_norm: Any = None) -> Any:
        norm = super()._get_grad_norm(model, grad_norm)
        value = norm if norm is None else float(norm)
        # DeepSpeed has none before its first step; the scaler of fp16 looks for infinity, and leaves such a step out.
        if value is not None and not math.isfinite(value) and self.accelerator.scaler is None:
            self.stop_at("the gradient's norm", value)
        return norm

    def stop_at(self, what: str, value: float) -> None:
        """Leaves the batch under way in a file and raises `UserError`."""
        step, rank = self.state.global_step, self.args.process_index
        file = Path(str(self.args.output_dir)) / f"not_finite-{step}-{rank}.json"
        write_json(file, {"step": step, "what": f"{what} is {value}", **self.batch_under_way()})
        raise UserError(
            f"step {step}: {what} is {value}; the batch is in {file}. Lower learning_rate, or train in float32 (bf16: false); the "
            "last checkpoint is from before"
        )

    def batch_under_way(self) -> dict[str, Any]:
        """The micro-batch as text, and which of its tensors hold NaN or infinity."""
        batch = {
            key: value
            for key, value in getattr(self, "_batch", {}).items()
            if isinstance(value, torch.Tensor)
        }
        decode = self.processing_class.batch_decode  # type: ignore[union-attr]  # a tokenizer
        texts = {
            key: decode(value)
            for key, value in batch.items()
            if key.endswith("ids") and value.dim() == 2
        }
        numbers = {key: value for key, value in batch.items() if value.is_floating_point()}
        return {
            "batch": texts
            | {key: value.tolist() for key, value in numbers.items() if value.dim() == 1},
            "not_finite": [
                key for key, value in numbers.items() if not torch.isfinite(value).all()
            ],
        }
