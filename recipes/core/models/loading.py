"""Loads models from a folder with full weights, a folder with a LoRA adapter, or a hub id."""

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recipes.core.errors import UserError, one_line
from recipes.core.paths import find_path
from recipes.core.runtime.device import has_accelerator, process_state, sharding

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel, Trainer
    from trl import ModelConfig


def configure_model(
    training_args: Any, model_args: "ModelConfig", max_prompt_length: int | None = None
) -> None:
    """Completes, in place, the keys that decide how the trained model is loaded.

    This is the only function that changes `dtype`, `model_init_kwargs` and `vllm_max_model_length`
    after the configuration is parsed.

    Args:
        training_args: a configuration of TRL.
        max_prompt_length: of GRPO, in tokens; vLLM reserves memory for prompt and completion.
    """
    # The dtype first: the arguments of `from_pretrained` contain it. Those of the user win.
    model_args.dtype = training_dtype(model_args)
    given = training_args.model_init_kwargs or {}
    training_args.model_init_kwargs = training_kwargs(model_args) | given

    # By default vLLM reserves memory for the longest sequence that the model allows.
    uses_vllm = getattr(training_args, "use_vllm", False)
    if uses_vllm and max_prompt_length and not training_args.vllm_max_model_length:
        longest = max_prompt_length + training_args.max_completion_length
        training_args.vllm_max_model_length = min(longest, max_model_length(model_args))


def adapter_base(path: str | Path) -> str | None:
    """The base model of the adapter in a folder; `None` for full weights and hub ids."""
    # peft names the base in the configuration of the adapter.
    config = Path(path) / "adapter_config.json"
    if not config.is_file():
        return None
    base = str(json.loads(config.read_text(encoding="utf-8"))["base_model_name_or_path"])
    # Recipes name the models they ship relative to the repository, whatever the current folder is;
    # and a folder of outputs that was moved still holds the base that was made for its adapter.
    for place in (find_path(base), Path(path).parent / Path(base).name):
        if place.is_dir():
            return base if place == Path(base) else str(place)
    return base


def weight_dtype(model_args: "ModelConfig") -> str:
    """The dtype of the weights: `dtype`, else bfloat16 on an accelerator and float32 on a CPU."""
    if model_args.dtype:
        return str(model_args.dtype)
    if has_accelerator():
        return "bfloat16"
    return "float32"


def training_dtype(model_args: "ModelConfig") -> str:
    """The dtype of the weights of a model that is trained.

    Full weights in bfloat16 would lose most of AdamW's updates to rounding. Adapters are float32
    anyway, and DeepSpeed and FSDP2 keep float32 copies of the weights.
    """
    if model_args.dtype or model_args.use_peft or sharding():
        return weight_dtype(model_args)
    return "float32"


def model_config(trainer: "Trainer") -> "PretrainedConfig":
    """The configuration of the model that is trained."""
    return trainer.model.config  # type: ignore[union-attr,return-value]  # set by __init__


def max_model_length(model_args: "ModelConfig") -> int:
    """The model's context length: prompt and completion together, in tokens.

    `sys.maxsize` for a model without a limit, such as a state-space model.
    """
    from transformers import AutoConfig

    name = str(model_args.model_name_or_path)
    try:
        config = AutoConfig.from_pretrained(
            adapter_base(name) or name, revision=model_args.model_revision
        ).get_text_config()
    except (OSError, ValueError) as error:
        raise UserError(f"cannot load the model {name!r}: {one_line(error, 300)}") from error
    length = getattr(config, "max_position_embeddings", None)
    if not length:
        return sys.maxsize
    # Scaled rotary positions reach further than those of the pretraining.
    rope = getattr(config, "rope_parameters", None) or {}
    pretrained = rope.get("original_max_position_embeddings") or length
    return max(int(length), int(pretrained * (rope.get("factor") or 1)))


def load_kwargs(model_args: "ModelConfig") -> dict[str, Any]:
    """Arguments of `from_pretrained` in every stage."""
    return {
        "revision": model_args.model_revision,
        "attn_implementation": model_args.attn_implementation,
        "dtype": weight_dtype(model_args),
    }


def training_kwargs(model_args: "ModelConfig") -> dict[str, Any]:
    """Arguments of `from_pretrained` for a model that is trained."""
    kwargs = load_kwargs(model_args)
    # By default a single process would offload what does not fit on its GPU to the CPU, and become
    # slow without a warning.
    is_single = int(os.environ.get("WORLD_SIZE", "1")) == 1 and not sharding()
    if is_single and has_accelerator():
        device = process_state().device
        if device.type != "mps":
            kwargs["device_map"] = {"": str(device)}
    return kwargs


def load_model(name: str | Path, model_args: "ModelConfig", **kwargs: Any) -> "PreTrainedModel":
    """The model for inference, on the accelerator if there is one.

    An adapter is merged into its base model: one matrix product per layer instead of three.

    Args:
        kwargs: for `from_pretrained`; they win over `model_args`.
    """
    from transformers import AutoModelForCausalLM

    # Full weights; for an adapter, those of the base model that its configuration names.
    base = adapter_base(name)
    source = base or name
    try:
        model = AutoModelForCausalLM.from_pretrained(source, **load_kwargs(model_args) | kwargs)
    except (OSError, ValueError) as error:
        role = f", the base of the adapter {str(name)!r}" if base else ""
        raise UserError(
            f"cannot load the model {str(source)!r}{role}: {one_line(error, 300)}"
        ) from error

    # The adapter on top of them.
    if base:
        from peft import PeftModel

        model = PeftModel.from_pretrained(model, str(name)).merge_and_unload()
    return model.to(process_state().device).eval()
