"""The shape of Qwen3-1.7B and plans that train it, written down so that nothing is downloaded."""

from dataclasses import replace
from typing import Any

from recipes.core.memory.model_shape import ModelShape
from recipes.core.memory.plan import MemoryPlan

QWEN3_1_7B_SIZES = {
    "hidden_size": 2048,
    "intermediate_size": 6144,
    "num_hidden_layers": 28,
    "num_attention_heads": 16,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "vocab_size": 151_936,
    "tie_word_embeddings": True,
}
QWEN3_1_7B = ModelShape(
    parameters=1_720_574_976,
    trainable=1_720_574_976,
    embedding=151_936 * 2048,
    linear=1_409_286_144,
    adapted=0,
    ranks=0,
    trains_head=True,
    qk_norm=True,
    layers=28,
    hidden=2048,
    heads=16,
    kv_heads=8,
    head_dim=128,
    intermediate=6144,
    vocabulary=151_936,
)
# With adapters of rank 32 on all seven linear maps of a layer.
QWEN3_1_7B_LORA = replace(
    QWEN3_1_7B,
    trainable=34_865_152,
    adapted=6 * 2048 + 6144,
    ranks=7 * 32,
    trains_head=False,
)


def lora_plan(**fields: Any) -> MemoryPlan:
    """recipes/gsm8k/grpo.yaml: GRPO with LoRA on a GPU, with `fields` changed."""
    plan = MemoryPlan(
        shape=QWEN3_1_7B_LORA,
        per_device_train_batch_size=8,
        gradient_accumulation_steps=8,
        gradient_checkpointing=True,
        optim="adamw_torch_fused",
        prompt_length=512,
        completion_length=768,
        generation_rows=64,
        num_generations=8,
    )
    return replace(plan, **fields)


def full_plan(**fields: Any) -> MemoryPlan:
    """The same run with full fine-tuning."""
    return lora_plan(shape=QWEN3_1_7B, **fields)
