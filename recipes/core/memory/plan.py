"""What decides how much memory a run needs: the model's shape and the keys, in one place; nothing is loaded.

    plan = facts(AutoConfig.from_pretrained(name), model_args, training_args, prompt_length=512)

memory.py says how many bytes that is, fitting.py which setting would need fewer.
"""

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from recipes.core.memory.model_shape import DECODER_KEYS, ModelShape, model_shape
from recipes.core.runtime.device import has_accelerator, sharding

if TYPE_CHECKING:
    from transformers import PretrainedConfig
    from trl import GRPOConfig, ModelConfig, SFTConfig


@dataclass(frozen=True)
class MemoryPlan:
    """A run. Fields that are a key bear its name; lengths are in tokens, `processes` share the work as `sharding` says."""

    shape: ModelShape
    per_device_train_batch_size: int
    gradient_accumulation_steps: int
    gradient_checkpointing: bool
    optim: str
    prompt_length: int  # the longest one; 0 for sft
    completion_length: int  # max_completion_length; for sft, that of a whole trace
    weight_bytes: int = 2  # of `dtype`; the hidden states between layers have it too
    compute_bytes: int = 2  # of autocast: 2 with bf16
    bits: int = 16  # 4 or 8: load_in_4bit or load_in_8bit
    attn_implementation: str = "sdpa"
    reference: bool = False  # a second model, which GRPO keeps for its KL term without adapters
    generation_rows: int = 0  # completions a process draws at once
    num_generations: int = 1
    generation_key: str | None = (
        None  # steps_per_generation or generation_batch_size, if the user wrote one
    )
    sharding: str = "none"  # ddp zero1 zero2 zero3 fsdp2
    processes: int = 1
    offload: bool = False  # the optimiser's states are in the host's memory
    accelerator: bool = True


def plan_memory(
    config: "PretrainedConfig",
    model_args: "ModelConfig",
    training_args: "GRPOConfig | SFTConfig",
    prompt_length: int = 0,
    trace_length: int = 0,
    generation_key: str | None = None,
) -> MemoryPlan | None:
    """The plan of a run; `None` for a model that is no such decoder.

    Args:
        prompt_length: tokens of the longest prompt, for grpo.
        trace_length: tokens of the longest trace with its prompt, for sft; without it `max_length` counts.
        generation_key: as in `Plan`.
    """
    from trl import GRPOConfig, get_peft_config

    if not all(
        isinstance(getattr(config.get_text_config(), key, None), int) for key in DECODER_KEYS
    ):
        return None
    args: Any = training_args
    grpo = isinstance(args, GRPOConfig)
    dtype = str(config.dtype if model_args.dtype == "auto" else model_args.dtype).removeprefix(
        "torch."
    )
    weight_bytes = 2 if dtype in ("bfloat16", "float16") else 4
    rows = args.generation_batch_size // args.world_size if grpo and not args.use_vllm else 0
    sharding, offload = _sharding(args.world_size)
    return MemoryPlan(
        shape=model_shape(config, get_peft_config(model_args)),
        per_device_train_batch_size=args.per_device_train_batch_size,
        gradient_accumulation_steps=args.gradient_accumulation_steps,
        gradient_checkpointing=args.gradient_checkpointing,
        optim=str(getattr(args.optim, "value", args.optim)),
        prompt_length=prompt_length if grpo else 0,
        completion_length=args.max_completion_length if grpo else trace_length or args.max_length,
        weight_bytes=weight_bytes,
        compute_bytes=2 if args.bf16 or args.fp16 else weight_bytes,
        bits=4 if model_args.load_in_4bit else 8 if model_args.load_in_8bit else 16,
        attn_implementation=model_args.attn_implementation or "sdpa",
        reference=grpo and args.beta != 0 and not model_args.use_peft,
        generation_rows=rows,
        num_generations=args.num_generations if grpo else 1,
        generation_key=generation_key,
        sharding=sharding,
        processes=args.world_size,
        offload=offload,
        accelerator=has_accelerator(),
    )


def _sharding(processes: int) -> tuple[str, bool]:
    """How accelerate was told to share the work, and whether the optimiser is offloaded."""
    if sharding() == "DEEPSPEED":
        stage = os.environ.get("ACCELERATE_DEEPSPEED_ZERO_STAGE", "2")
        return f"zero{stage}", os.environ.get(
            "ACCELERATE_DEEPSPEED_OFFLOAD_OPTIMIZER_DEVICE", "none"
        ) != "none"
    if sharding() == "FSDP":
        return "fsdp2", os.environ.get("FSDP_OFFLOAD_PARAMS") == "true"
    return "ddp" if processes > 1 else "none", False
