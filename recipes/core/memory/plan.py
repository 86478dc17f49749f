"""What decides how much memory a run needs: the model's shape and the keys, in one place; nothing is loaded.

    plan = facts(AutoConfig.from_pretrained(name), model_args, training_args, prompt_length=512)

memory.py says how many bytes that is, fitting.py which setting would need fewer.
"""

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from recipes.core.runtime import device

if TYPE_CHECKING:
    from peft import PeftConfig
    from transformers import PretrainedConfig
    from trl import GRPOConfig, ModelConfig, SFTConfig

DECODER = ("num_key_value_heads", "intermediate_size")  # numbers that the config of a decoder of this kind has, and GPT-2's lacks


@dataclass(frozen=True)
class Shape:
    """A decoder as it is trained; every number is a count of elements."""

    parameters: int  # without adapters
    trainable: int
    embedding: int  # the tokens' embedding
    linear: int  # linear maps but the head: what is quantised
    adapted: int  # inputs of a layer's adapted linear maps, summed; 0: all weights are trained
    ranks: int  # of a layer's adapters, summed
    trains_head: bool
    qk_norm: bool  # queries and keys are normalised, as in Qwen3
    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    intermediate: int
    vocabulary: int


@dataclass(frozen=True)
class Plan:
    """A run. Fields that are a key bear its name; lengths are in tokens, `processes` share the work as `sharding` says."""

    shape: Shape
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
    generation_key: str | None = None  # steps_per_generation or generation_batch_size, if the user wrote one
    sharding: str = "none"  # ddp zero1 zero2 zero3 fsdp2
    processes: int = 1
    offload: bool = False  # the optimiser's states are in the host's memory
    accelerator: bool = True


def shape(config: "PretrainedConfig", adapters: "PeftConfig | None" = None) -> Shape:
    """The shape of the model of this config, trained through `adapters` if any; made on the meta device, so nothing is loaded."""
    import torch
    from transformers import AutoModelForCausalLM
    from transformers.modeling_utils import set_zero3_state

    text = config.get_text_config()
    with set_zero3_state(), torch.device("meta"):  # the former undoes what ZeRO-3 does to every model that is made
        model: Any = AutoModelForCausalLM.from_config(config)
        head, parameters = model.get_output_embeddings(), model.num_parameters()
        linear = [m for m in model.modules() if isinstance(m, torch.nn.Linear) and m is not head]
        sizes = sum(m.weight.numel() for m in linear)
        if adapters is not None:
            from peft import get_peft_model

            model = get_peft_model(model, adapters)
    lora = [m for name, m in model.named_modules() if name.endswith(".lora_A.default")]
    return Shape(
        parameters=parameters,
        trainable=sum(p.numel() for p in model.parameters() if p.requires_grad),
        embedding=model.get_input_embeddings().weight.numel(),
        linear=sizes,
        adapted=sum(m.in_features for m in lora) // text.num_hidden_layers,
        ranks=sum(m.out_features for m in lora) // text.num_hidden_layers,
        trains_head=head.weight.requires_grad,
        qk_norm=any(name.endswith(".q_norm") for name, _ in model.named_modules()),
        layers=text.num_hidden_layers,
        hidden=text.hidden_size,
        heads=text.num_attention_heads,
        kv_heads=text.num_key_value_heads,
        head_dim=getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads,  # Qwen2 does not say it
        intermediate=text.intermediate_size,
        vocabulary=text.vocab_size,
    )


def facts(
    config: "PretrainedConfig",
    model_args: "ModelConfig",
    training_args: "GRPOConfig | SFTConfig",
    prompt_length: int = 0,
    trace_length: int = 0,
    generation_key: str | None = None,
) -> Plan | None:
    """The plan of a run; `None` for a model that is no such decoder.

    Args:
        prompt_length: tokens of the longest prompt, for grpo.
        trace_length: tokens of the longest trace with its prompt, for sft; without it `max_length` counts.
        generation_key: as in `Plan`.
    """
    from trl import GRPOConfig, get_peft_config

    if not all(isinstance(getattr(config.get_text_config(), key, None), int) for key in DECODER):
        return None
    args: Any = training_args
    grpo = isinstance(args, GRPOConfig)
    dtype = str(config.dtype if model_args.dtype == "auto" else model_args.dtype).removeprefix("torch.")
    weight_bytes = 2 if dtype in ("bfloat16", "float16") else 4
    rows = args.generation_batch_size // args.world_size if grpo and not args.use_vllm else 0
    sharding, offload = _sharding(args.world_size)
    return Plan(
        shape=shape(config, get_peft_config(model_args)),
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
        accelerator=device.has_accelerator(),
    )


def _sharding(processes: int) -> tuple[str, bool]:
    """How accelerate was told to share the work, and whether the optimiser is offloaded."""
    if device.sharding() == "DEEPSPEED":
        stage = os.environ.get("ACCELERATE_DEEPSPEED_ZERO_STAGE", "2")
        return f"zero{stage}", os.environ.get("ACCELERATE_DEEPSPEED_OFFLOAD_OPTIMIZER_DEVICE", "none") != "none"
    if device.sharding() == "FSDP":
        return "fsdp2", os.environ.get("FSDP_OFFLOAD_PARAMS") == "true"
    return "ddp" if processes > 1 else "none", False
