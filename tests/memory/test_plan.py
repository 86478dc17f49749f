"""A plan holds the user's own keys, and the sharding that accelerate was told to use."""

from dataclasses import replace

import pytest

from recipes.core.memory.plan import MemoryPlan, active_sharding
from tests.support.commands import ROOT


@pytest.fixture
def config(monkeypatch):
    from transformers import AutoConfig

    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    return AutoConfig.from_pretrained(ROOT / "recipes/arithmetic/models/base")


@pytest.fixture
def common(tmp_path):
    return {"output_dir": str(tmp_path), "use_cpu": True, "bf16": False, "report_to": "none"}


def test_the_plan_of_grpo_holds_the_users_keys(config, common):
    from trl import GRPOConfig, ModelConfig

    model_args = ModelConfig(dtype="float32", use_peft=True, lora_target_modules="all-linear")
    training_args = GRPOConfig(
        per_device_train_batch_size=16,
        gradient_accumulation_steps=4,
        max_completion_length=72,
        beta=0.1,
        **common,
    )
    plan = MemoryPlan.from_args(config, model_args, training_args, prompt_length=30)
    assert (plan.prompt_length, plan.completion_length, plan.generation_rows) == (30, 72, 64)
    assert (plan.weight_bytes, plan.compute_bytes) == (4, 4)
    assert plan.optim == "adamw_torch_fused"
    assert not plan.reference  # beta is set, but the adapters can be switched off
    assert plan.shape.adapted and plan.gradient_checkpointing and not plan.accelerator


def test_the_plan_of_sft_holds_the_users_keys(config, common):
    from trl import ModelConfig, SFTConfig

    model_args = ModelConfig(dtype="bfloat16", load_in_4bit=True)
    training_args = SFTConfig(max_length=256, gradient_checkpointing=False, **common)
    plan = MemoryPlan.from_args(config, model_args, training_args)
    assert (plan.prompt_length, plan.completion_length, plan.generation_rows) == (0, 256, 0)
    assert (plan.weight_bytes, plan.compute_bytes, plan.bits) == (2, 2, 4)
    assert (plan.shape.adapted, plan.sharding) == (0, "none")

    # Without max_length, the longest trace counts.
    training_args = replace(training_args, max_length=None)
    plan = MemoryPlan.from_args(config, ModelConfig(), training_args, trace_length=90)
    assert plan.completion_length == 90


def test_an_unsupported_architecture_has_no_plan(common):
    from transformers import GPT2Config
    from trl import ModelConfig, SFTConfig

    # GPT-2 has neither a gated MLP nor RMSNorm.
    assert MemoryPlan.from_args(GPT2Config(), ModelConfig(), SFTConfig(**common)) is None


ZERO3 = {"ACCELERATE_USE_DEEPSPEED": "true", "ACCELERATE_DEEPSPEED_ZERO_STAGE": "3"}


@pytest.mark.parametrize(
    ("environment", "processes", "expected"),
    [
        ({}, 1, ("none", False)),
        ({}, 2, ("ddp", False)),
        (ZERO3, 2, ("zero3", False)),
        (ZERO3 | {"ACCELERATE_DEEPSPEED_OFFLOAD_OPTIMIZER_DEVICE": "cpu"}, 2, ("zero3", True)),
        ({"ACCELERATE_USE_FSDP": "true"}, 2, ("fsdp2", False)),
        ({"ACCELERATE_USE_FSDP": "true", "FSDP_OFFLOAD_PARAMS": "true"}, 2, ("fsdp2", True)),
    ],
)
def test_the_sharding_is_read_from_accelerates_environment(
    monkeypatch, environment, processes, expected
):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert active_sharding(processes) == expected
