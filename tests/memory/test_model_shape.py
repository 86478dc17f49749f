"""The shape of a model is counted without loading it, and equals that of the loaded model."""

import pytest

from recipes.core.memory.model_shape import model_shape
from tests.memory.tiny_models import make_adapters, make_config, make_model
from tests.support.shapes import QWEN3_1_7B, QWEN3_1_7B_LORA, QWEN3_1_7B_SIZES


@pytest.mark.parametrize("lora", [False, True], ids=["full", "lora"])
def test_the_shape_has_the_parameters_of_the_loaded_model(lora):
    model = make_model(make_config("Qwen3"), lora)
    shape = model_shape(make_config("Qwen3"), make_adapters() if lora else None)
    trainable = sum(weight.numel() for weight in model.parameters() if weight.requires_grad)
    everything = sum(weight.numel() for weight in model.parameters())
    assert (shape.trainable, shape.qk_norm, shape.trains_head) == (trainable, True, not lora)
    assert shape.parameters + lora * trainable == everything


def test_the_shape_of_qwen3_that_other_tests_use_is_the_real_one():
    from peft import LoraConfig

    config = make_config("Qwen3", **QWEN3_1_7B_SIZES)
    adapters = LoraConfig(r=32, target_modules="all-linear", task_type="CAUSAL_LM")
    assert model_shape(config) == QWEN3_1_7B
    assert model_shape(config, adapters) == QWEN3_1_7B_LORA
