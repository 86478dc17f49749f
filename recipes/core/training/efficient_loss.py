"""The same gradients as TRL's GRPO loss, without computing what does not count."""

import math
from typing import Any

import torch
from torch import Tensor

from recipes.core.training.microbatches import LOSS_SCALE, Regrouping
from recipes.core.training.packed_attention import can_pack, use_packed_attention
from recipes.core.training.packed_groups import pack_groups


class EfficientLoss:
    """Mixin for GRPOTrainer that drops rows without a gradient and packs the others.

    It overrides these private methods of TRL: `_prepare_inputs` splits a generation into
    micro-batches, `_get_per_token_logps_and_entropies` is every forward pass over completions, and
    `_compute_loss` is the loss of a micro-batch.
    """

    efficient: bool

    def prepare_efficient_loss(self: Any) -> None:
        """Finds out what this run allows; call it at the end of `__init__`."""
        # Without the key, everything below is TRL's.
        self._regrouping = None
        self._packed_models: list[Any] = []
        if not self.efficient:
            return
        self._regrouping = self._allowed_regrouping()
        # The reference of an adapter is the same model with its adapter switched off.
        for model in (self.model, self.ref_model):
            if model is not None:
                causal_lm = self._causal_lm(model)
                if not self._is_vlm and can_pack(causal_lm):
                    use_packed_attention(causal_lm)
                    self._packed_models.append(causal_lm)

    def _allowed_regrouping(self: Any) -> Regrouping | None:
        # These terms are means over the tokens of a micro-batch, or see all of its rows.
        sees_other_rows = (
            self._entropy_bonus_enabled or self.aux_loss_enabled or self.top_entropy_quantile < 1.0
        )
        if sees_other_rows or self._is_vlm:
            return None
        # Micro-batches of an optimiser step that stem from one generation.
        window = math.gcd(self.args.gradient_accumulation_steps, self.args.steps_per_generation)
        return Regrouping(self.loss_type, window, drops=self.beta == 0.0)

    def _prepare_inputs(self: Any, generation_batch: Any) -> dict[str, Any]:
        previous = self._buffered_inputs
        inputs: dict[str, Any] = super()._prepare_inputs(generation_batch)  # type: ignore[misc]
        # A new generation is regrouped once, whatever the number of steps that use it.
        if self._regrouping is None or self._buffered_inputs is previous:
            return inputs
        self._buffered_inputs = self._regrouping.apply(self._buffered_inputs)
        position = self._step % self.args.steps_per_generation
        regrouped: dict[str, Any] = self._buffered_inputs[position]
        return regrouped

    def _compute_loss(self: Any, model: Any, inputs: dict[str, Any]) -> Tensor:
        # TRL divides by the rows or tokens that it sees; LOSS_SCALE puts that right.
        loss: Tensor = super()._compute_loss(model, inputs)  # type: ignore[misc]
        return loss * inputs.get(LOSS_SCALE, 1.0)

    def _get_per_token_logps_and_entropies(
        self: Any,
        model: Any,
        input_ids: Tensor,
        attention_mask: Tensor,
        logits_to_keep: int,
        batch_size: int | None = None,
        compute_entropy: bool = False,
        compute_aux_loss: bool = False,
        **kwargs: Any,
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        is_packed = self._causal_lm(model) in self._packed_models and not compute_aux_loss
        # Of a batch whose completions are all masked, nothing would be left.
        if not is_packed or not attention_mask[:, -logits_to_keep:].any():
            logps: tuple[Tensor, Tensor | None, Tensor | None]
            logps = super()._get_per_token_logps_and_entropies(  # type: ignore[misc]
                model,
                input_ids,
                attention_mask,
                logits_to_keep,
                batch_size=batch_size,
                compute_entropy=compute_entropy,
                compute_aux_loss=compute_aux_loss,
                **kwargs,
            )
            return logps

        # In parts of `batch_size` rows, each packed by itself.
        part_logps = []
        part_entropies = []
        size = batch_size or len(input_ids)
        parts = zip(input_ids.split(size), attention_mask.split(size), strict=True)
        for ids, mask in parts:
            groups = pack_groups(ids, mask, logits_to_keep)
            # Through the wrapped model, whose hooks synchronise gradients and gather weights.
            with self.accelerator.autocast():
                outputs = model(
                    input_ids=groups.input_ids,
                    attention_mask=groups.attention_mask,
                    position_ids=groups.position_ids,
                    shift_labels=groups.targets,
                    groups=groups,
                    fused_lm_head=True,
                )
            part_logps.append(groups.unpack(outputs.log_probs, logits_to_keep))
            if compute_entropy:
                part_entropies.append(groups.unpack(outputs.entropy, logits_to_keep))
        entropies = torch.cat(part_entropies) if compute_entropy else None
        return torch.cat(part_logps), entropies, None

    def _causal_lm(self: Any, model: Any) -> Any:
        """The model without what trainers and adapters wrap around it."""
        model = self.accelerator.unwrap_model(model)
        return model.get_base_model() if hasattr(model, "get_base_model") else model
