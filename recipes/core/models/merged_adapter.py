"""Adds a LoRA adapter to the weights of its base for a while, and restores them exactly."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from peft.tuners.lora import LoraLayer


@contextmanager
def merged_adapter(model: Any) -> Iterator[None]:
    """Within the block, the layers of `model` compute with merged weights, without the adapter.

    PEFT would subtract the adapter again, and what was rounded away would be lost: in bfloat16, the
    base weights drift. Here the original tensors are kept and put back.
    """
    originals = []
    try:
        for layer in _adapted_layers(model):
            weight = layer.get_base_layer().weight
            originals.append((layer, weight, weight.data))
            # PEFT adds in place, so it gets a copy.
            weight.data = weight.data.clone()
            layer.merge()
        yield
    finally:
        for layer, weight, data in originals:
            # Then the layer adds its adapter itself again.
            weight.data = data
            layer.merged_adapters.clear()


def can_merge(model: Any) -> bool:
    """Whether the adapted layers hold plain weights, not quantised ones, and adapters no biases."""
    for layer in _adapted_layers(model):
        weight = layer.get_base_layer().weight
        is_plain = weight.is_floating_point() and type(weight) is torch.nn.Parameter
        if not is_plain or any(layer.lora_bias.values()):
            return False
    return True


def _adapted_layers(model: Any) -> list[Any]:
    return [layer for layer in model.modules() if isinstance(layer, LoraLayer)]
