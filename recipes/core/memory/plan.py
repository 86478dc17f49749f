"""The memory plan of a run: everything that determines its memory, in one record.

    config = AutoConfig.from_pretrained(name)
    plan = MemoryPlan.from_args(config, model_args, training_args, prompt_length=512)

Nothing is loaded. estimate.py turns a plan into bytes, advise.py searches for a smaller plan.
"""

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from recipes.core.memory.model_shape import DECODER_KEYS, ModelShape, model_shape
from recipes.core.runtime.device import has_accelerator, sharding

if TYPE_CHECKING:
    from transformers import PretrainedConfig
    from trl import GRPOConfig, ModelConfig, SFTConfig

FP32_BYTES = 4


@dataclass(frozen=True)
class MemoryPlan:
    """A training run, as far as its memory is concerned.

    Fields that are a configuration key have the key's name. Lengths are in tokens.
    """

    shape: ModelShape
    per_device_train_batch_size: int
    gradient_accumulation_steps: int
    gradient_checkpointing: bool
    optim: str
    prompt_length: int  # of the longest prompt; 0 for sft
    completion_length: int  # max_completion_length; for sft, the length of a whole trace
    weight_bytes: int = 2  # per element of `dtype`, also of the hidden states between layers
    compute_bytes: int = 2  # per element under autocast: 2 with bf16
    bits: int = 16  # 4 with load_in_4bit, 8 with load_in_8bit
    attn_implementation: str = "sdpa"
    reference: bool = False  # a second model: GRPO's KL term in full fine-tuning
    generation_rows: int = 0  # completions that a process generates at once
    num_generations: int = 1
    generation_key: str | None = None  # the key the user set: see from_args
    sharding: str = "none"  # none, ddp, zero1, zero2, zero3 or fsdp2
    processes: int = 1  # that share the work as `sharding` states
    offload: bool = False  # the optimiser's states are kept in host memory
    accelerator: bool = True

    @classmethod
    def from_args(
        cls,
        config: "PretrainedConfig",
        model_args: "ModelConfig",
        training_args: "GRPOConfig | SFTConfig",
        prompt_length: int = 0,
        trace_length: int = 0,
        generation_key: str | None = None,
    ) -> "MemoryPlan | None":
        """The plan of a run; `None` for an unsupported architecture.

        Args:
            prompt_length: tokens of the longest prompt, for grpo.
            trace_length: tokens of the longest trace with its prompt, for sft; 0: `max_length`.
            generation_key: steps_per_generation or generation_batch_size, if the user set one.
        """
        from trl import GRPOConfig, get_peft_config

        if not _is_supported(config):
            return None

        # What the two trainers differ in: the lengths, and what GRPO adds to training.
        args: Any = training_args
        if isinstance(args, GRPOConfig):
            stage_fields = _grpo_fields(args, model_args, prompt_length)
        else:
            stage_fields = {
                "prompt_length": 0,
                "completion_length": trace_length or args.max_length,
            }

        weight_bytes = _weight_bytes(config, model_args)
        launched = active_sharding(args.world_size)
        return cls(
            shape=model_shape(config, get_peft_config(model_args)),
            per_device_train_batch_size=args.per_device_train_batch_size,
            gradient_accumulation_steps=args.gradient_accumulation_steps,
            gradient_checkpointing=args.gradient_checkpointing,
            optim=str(getattr(args.optim, "value", args.optim)),
            weight_bytes=weight_bytes,
            compute_bytes=2 if args.bf16 or args.fp16 else weight_bytes,
            bits=_quantisation_bits(model_args),
            attn_implementation=model_args.attn_implementation or "sdpa",
            generation_key=generation_key,
            sharding=launched.kind,
            processes=args.world_size,
            offload=launched.offload,
            accelerator=has_accelerator(),
            **stage_fields,
        )

    @property
    def sequence_length(self) -> int:
        """Tokens of a row: prompt and completion."""
        return self.prompt_length + self.completion_length

    @property
    def batch_tokens(self) -> int:
        """Tokens of one forward pass in training."""
        return self.per_device_train_batch_size * self.sequence_length

    @property
    def uses_deepspeed(self) -> bool:
        """Whether DeepSpeed's ZeRO trains the model, at any of its stages."""
        return self.sharding.startswith("zero")

    @property
    def shards_weights(self) -> bool:
        """Whether each process holds only its share of the weights."""
        return self.sharding in ("zero3", "fsdp2")

    @property
    def trained_bytes(self) -> int:
        """Bytes of a trained parameter."""
        if self.uses_deepspeed:
            return self.compute_bytes
        if self.sharding == "fsdp2":  # FSDP trains in fp32
            return FP32_BYTES
        if not self.shape.adapted:
            return self.weight_bytes
        # peft makes adapters in fp32; TRL casts those of a quantised model to bf16.
        return FP32_BYTES if self.bits == 16 else 2


class Sharding(NamedTuple):
    """How accelerate was told to share the work."""

    kind: str  # none, ddp, zero1, zero2, zero3 or fsdp2
    offload: bool  # whether the optimiser is offloaded to host memory


def active_sharding(processes: int) -> Sharding:
    """The sharding of this launch, from accelerate's environment variables."""
    if sharding() == "DEEPSPEED":
        stage = os.environ.get("ACCELERATE_DEEPSPEED_ZERO_STAGE", "2")
        device = os.environ.get("ACCELERATE_DEEPSPEED_OFFLOAD_OPTIMIZER_DEVICE", "none")
        return Sharding(f"zero{stage}", offload=device != "none")
    if sharding() == "FSDP":
        return Sharding("fsdp2", offload=os.environ.get("FSDP_OFFLOAD_PARAMS") == "true")
    if processes > 1:
        return Sharding("ddp", offload=False)
    return Sharding("none", offload=False)


def _grpo_fields(
    args: "GRPOConfig", model_args: "ModelConfig", prompt_length: int
) -> dict[str, Any]:
    """The fields of a plan that only GRPO fills, or fills in its own way."""
    # vLLM generates in memory of its own.
    generation_rows = 0
    if not args.use_vllm:
        assert args.generation_batch_size is not None  # set by GRPOConfig's __post_init__
        generation_rows = args.generation_batch_size // args.world_size
    return {
        "prompt_length": prompt_length,
        "completion_length": args.max_completion_length,
        # With adapters, the reference is the same model with its adapters switched off.
        "reference": args.beta != 0 and not model_args.use_peft,
        "generation_rows": generation_rows,
        "num_generations": args.num_generations,
    }


def _is_supported(config: "PretrainedConfig") -> bool:
    """Whether the estimate knows this architecture: a decoder with a gated MLP and RMSNorm."""
    text = config.get_text_config()
    return all(isinstance(getattr(text, key, None), int) for key in DECODER_KEYS)


def _weight_bytes(config: "PretrainedConfig", model_args: "ModelConfig") -> int:
    """Bytes of an element of `dtype`, where "auto" is the checkpoint's own."""
    dtype = config.dtype if model_args.dtype == "auto" else model_args.dtype
    return 2 if str(dtype).removeprefix("torch.") in ("bfloat16", "float16") else FP32_BYTES


def _quantisation_bits(model_args: "ModelConfig") -> int:
    """Bits of a frozen weight."""
    if model_args.load_in_4bit:
        return 4
    if model_args.load_in_8bit:
        return 8
    return 16
