"""What a layer keeps for its backward pass equals, to the byte, what autograd saves."""

import pytest
import torch

from recipes.core.memory.activations import (
    LOGPROB_TILE_COLUMNS,
    LOGPROB_TILE_TOKENS,
    layer_bytes,
)
from tests.memory.tiny_models import DTYPES, forward, make_config, make_model, make_plan


def saved_bytes(family, layers, lora, dtype):
    """Bytes that autograd saves in a forward pass of a model with so many layers."""
    model = make_model(make_config(family, num_hidden_layers=layers), lora, dtype)
    decoder = model.get_base_model().model if lora else model.model
    storages = {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        storages[storage.data_ptr()] = storage
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        output = forward(decoder, 2, 48, dtype)
    assert output.last_hidden_state.requires_grad
    for weight in model.parameters():
        storages.pop(weight.untyped_storage().data_ptr(), None)
    return sum(storage.nbytes() for storage in storages.values())


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("lora", [False, True], ids=["full", "lora"])
@pytest.mark.parametrize("family", ["Llama", "Qwen3"])
def test_what_a_layer_keeps_is_to_the_byte_what_autograd_saves(family, lora, dtype):
    plan = make_plan(make_config(family), lora, 2, 48, dtype)

    # Autograd also saves autocast's copies of the weights, which count as static memory.
    weight_copies = 0
    if dtype == "fp32 with autocast":
        weight_copies += 2 * plan.shape.linear // plan.shape.layers
    if lora and dtype != "fp32":
        weight_copies += 2 * plan.shape.trainable // plan.shape.layers

    third_layer = saved_bytes(family, 3, lora, dtype) - saved_bytes(family, 2, lora, dtype)
    assert layer_bytes(plan).kept + weight_copies == third_layer


def test_the_tile_of_the_head_is_that_of_the_installed_trl():
    from trl.kernels.chunked_logprob import TOKEN_CHUNK_SIZE
    from trl.trainer.utils import _CHUNKED_LOGPROB_CHUNK_SIZE

    assert TOKEN_CHUNK_SIZE == LOGPROB_TILE_TOKENS
    assert _CHUNKED_LOGPROB_CHUNK_SIZE == LOGPROB_TILE_COLUMNS
