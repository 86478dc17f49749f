"""Loading models: a folder with full weights, a folder with a LoRA adapter, or a hub id."""

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recipes.core.errors import UserError
from recipes.core.paths import ROOT
from recipes.core.runtime.device import has_accelerator, process_state, sharding

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel, Trainer
    from trl import ModelConfig


def adapter_base(path: str | Path) -> str | None:
    """The base model that the adapter in this folder belongs to; `None` for full weights and hub ids."""
    config = Path(path) / "adapter_config.json"
    if not config.is_file():
        return None
    base = str(json.loads(config.read_text(encoding="utf-8"))["base_model_name_or_path"])
    # A recipe names the models that it ships from the repository's folder; they are found from any other folder too.
    return str(ROOT / base) if not Path(base).exists() and (ROOT / base).is_dir() else base


def weight_dtype(model_args: "ModelConfig") -> str:
    """The dtype of the weights: the key `dtype`, else bfloat16 on an accelerator and float32 on a CPU."""
    return model_args.dtype or ("bfloat16" if has_accelerator() else "float32")


def training_dtype(model_args: "ModelConfig") -> str:
    """The dtype of the weights that are trained. Full weights in bfloat16 would round most of AdamW's steps away; adapters are
    float32 in any case, and DeepSpeed and FSDP2 keep copies in float32 themselves."""
    if model_args.dtype or model_args.use_peft or sharding():
        return weight_dtype(model_args)
    return "float32"


def model_config(trainer: "Trainer") -> "PretrainedConfig":
    """The config of the model that is trained."""
    return trainer.model.config  # type: ignore[union-attr,return-value]  # set by __init__


def max_model_length(model_args: "ModelConfig") -> int:
    """Tokens that the model was made for, prompt and completion together."""
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(
        str(model_args.model_name_or_path), revision=model_args.model_revision
    )
    return int(getattr(config.get_text_config(), "max_position_embeddings", None) or sys.maxsize)


def load_kwargs(model_args: "ModelConfig") -> dict[str, Any]:
    """What `from_pretrained` is called with, in every stage."""
    return {
        "revision": model_args.model_revision,
        "attn_implementation": model_args.attn_implementation,
        "dtype": weight_dtype(model_args),
    }


def training_kwargs(model_args: "ModelConfig") -> dict[str, Any]:
    """What `from_pretrained` is called with for a model that is trained."""
    kwargs = load_kwargs(model_args)
    # A single process would spread what does not fit on its GPU over the CPU, and be slow without a word.
    alone = int(os.environ.get("WORLD_SIZE", "1")) == 1 and not sharding()
    if alone and has_accelerator() and (device := process_state().device).type != "mps":
        kwargs["device_map"] = {"": str(device)}
    return kwargs


def load_model(name: str | Path, model_args: "ModelConfig", **kwargs: Any) -> "PreTrainedModel":
    """The model for inference, on the accelerator if there is one. An adapter is merged into its base: one matrix product
    a layer instead of three. `kwargs` go to `from_pretrained`, over what `model_args` says."""
    from transformers import AutoModelForCausalLM

    base = adapter_base(name)
    try:
        model = AutoModelForCausalLM.from_pretrained(
            base or name, **load_kwargs(model_args) | kwargs
        )
    except (OSError, ValueError) as error:
        raise UserError(
            f"cannot load the model {str(base or name)!r}: {' '.join(str(error).split())[:300]}"
        ) from error
    if base:
        from peft import PeftModel

        model = PeftModel.from_pretrained(model, str(name)).merge_and_unload()
    return model.to(process_state().device).eval()
