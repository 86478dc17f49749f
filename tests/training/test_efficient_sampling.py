"""Sampling in the trainer: prompts read once, adapters merged, base weights restored exactly."""

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

from recipes.core.models.merged_adapter import can_merge, merged_adapter
from recipes.core.training.efficient_sampling import common_repeats
from tests.training.replayed import BASE


@pytest.mark.parametrize(
    ("prompts", "repeats"),
    [
        ([[1], [1], [2], [2]], 2),
        ([[1], [1], [1]], 3),
        ([[1], [2], [2], [2], [2]], 1),  # a group that a border of processes cuts
        ([[1], [1], [2], [2], [2], [2]], 2),  # the same question twice in a row
        ([[1], [2]], 1),
    ],
)
def test_a_prompt_is_read_once_for_as_many_completions_as_all_have_in_a_row(prompts, repeats):
    assert common_repeats(prompts) == repeats


def make_adapted(dtype):
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_pretrained(BASE, dtype=dtype)
    config = LoraConfig(r=16, target_modules="all-linear", init_lora_weights=False)
    return get_peft_model(model, config).eval()


def test_merged_logits_are_those_of_the_adapted_model():
    model = make_adapted(torch.float32)
    ids = torch.arange(8)[None]
    with torch.no_grad():
        apart = model(ids).logits
        with merged_adapter(model):
            merged = model(ids).logits
        assert torch.equal(model(ids).logits, apart)
    assert not torch.equal(merged, apart)
    torch.testing.assert_close(merged, apart, rtol=1e-4, atol=1e-4)


def test_the_base_is_the_same_bit_for_bit_after_400_merges_in_bfloat16():
    model = make_adapted(torch.bfloat16)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    for _ in range(400):
        with merged_adapter(model):
            pass
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name]), name


def test_the_base_is_restored_if_sampling_fails():
    model = make_adapted(torch.float32)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(RuntimeError), merged_adapter(model):
        raise RuntimeError
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_an_adapter_with_biases_is_not_merged():
    model = AutoModelForCausalLM.from_pretrained(BASE, dtype=torch.float32)
    config = LoraConfig(r=2, target_modules=["q_proj"], lora_bias=True)
    assert not can_merge(get_peft_model(model, config))
