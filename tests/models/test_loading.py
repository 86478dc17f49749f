"""How a model is loaded: its dtype, the arguments of `from_pretrained`, the context of vLLM."""

import pytest
import torch
from trl import ModelConfig

from recipes.core.models.loading import (
    configure_model,
    max_model_length,
    training_dtype,
    weight_dtype,
)


@pytest.mark.parametrize(
    ("dtype", "use_peft", "sharding", "expected"),
    [
        (None, False, None, "float32"),  # bfloat16 has 3 digits: AdamW's steps would be lost
        (None, False, "DEEPSPEED", "bfloat16"),  # DeepSpeed trains a copy in float32
        (None, False, "FSDP", "bfloat16"),  # so does FSDP
        (None, True, None, "bfloat16"),  # peft makes the adapters float32
        ("bfloat16", False, None, "bfloat16"),  # as the user asked
    ],
)
def test_on_a_gpu_full_weights_are_trained_in_float32_unless_a_copy_is(
    monkeypatch, dtype, use_peft, sharding, expected
):
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    for kind in ("DEEPSPEED", "FSDP"):
        monkeypatch.setenv(f"ACCELERATE_USE_{kind}", str(sharding == kind).lower())
    model_args = ModelConfig(dtype=dtype, use_peft=use_peft)
    assert training_dtype(model_args) == expected
    assert weight_dtype(model_args) == "bfloat16"  # for inference


def moved_fraction(dtype):
    """The fraction of weights that twenty steps of AdamW change."""
    generator = torch.Generator().manual_seed(0)
    weight = torch.nn.Parameter((0.03 * torch.randn(10000, generator=generator)).to(dtype))
    before = weight.detach().clone()
    optimizer = torch.optim.AdamW([weight], lr=2e-5, weight_decay=0.0)
    for _ in range(20):
        weight.grad = torch.ones_like(weight)
        optimizer.step()
    return (weight.detach() != before).float().mean().item()


def test_most_steps_of_adamw_are_lost_on_weights_in_bfloat16():
    assert moved_fraction(torch.float32) == 1.0
    assert moved_fraction(torch.bfloat16) < 0.5  # the reason for `training_dtype`


def grpo_args(**keys):
    from trl import GRPOConfig

    return GRPOConfig(use_cpu=True, bf16=False, max_completion_length=72, **keys)


def arithmetic_model(**keys):
    return ModelConfig(model_name_or_path="recipes/arithmetic/models/base", **keys)


def test_the_trained_model_is_loaded_as_configured_and_the_users_arguments_win():
    training_args = grpo_args(model_init_kwargs={"dtype": "float64", "use_cache": False})
    model_args = arithmetic_model(attn_implementation="eager")
    configure_model(training_args, model_args)
    assert model_args.dtype == "float32"
    assert training_args.model_init_kwargs == {
        "revision": "main",
        "attn_implementation": "eager",
        "dtype": "float64",
        "use_cache": False,
    }


@pytest.mark.parametrize(
    ("keys", "max_prompt_length", "expected"),
    [
        ({"use_vllm": True}, 10, 82),  # prompt and completion
        ({"use_vllm": True}, 10**9, "context"),  # never more than the model allows
        ({"use_vllm": True, "vllm_max_model_length": 50}, 10, 50),  # as the user asked
        ({"use_vllm": True}, None, None),  # prompts of any length: vLLM's default
        ({}, 10, None),
    ],
)
def test_vllm_reserves_memory_for_the_longest_prompt_and_completion(
    keys, max_prompt_length, expected
):
    training_args = grpo_args(**keys)
    model_args = arithmetic_model()
    configure_model(training_args, model_args, max_prompt_length)
    if expected == "context":
        expected = max_model_length(model_args)
    assert training_args.vllm_max_model_length == expected
