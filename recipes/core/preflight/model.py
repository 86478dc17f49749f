"""Checks on `model_name_or_path` and on the keys that say how a model is loaded."""

from pathlib import Path
from typing import TYPE_CHECKING

from recipes.core.errors import UserError
from recipes.core.runtime.device import has_accelerator, sharding

if TYPE_CHECKING:
    from transformers import TrainingArguments
    from trl import ModelConfig


def check_model_path(key: str, name: str | None) -> str:
    """`name`, if it can be a model: a folder with a config or an adapter, or a hub id. Costs nothing; no hub is asked."""
    if not name:
        raise UserError(f"{key} is not set; write a hub id or the folder of a model")
    path = Path(name)
    if (
        path.is_dir()
        and not (path / "config.json").is_file()
        and not (path / "adapter_config.json").is_file()
    ):
        there = ", ".join(sorted(p.name for p in path.iterdir())[:8]) or "nothing"
        raise UserError(
            f"{key}: {name!r} holds no model (no config.json or adapter_config.json); there is {there}"
        )
    if not path.is_dir() and (name.startswith((".", "/", "outputs/")) or name.count("/") > 1):
        raise UserError(f"{key}: there is no folder {name!r}")
    return name


def check_not_quantised(model_args: "ModelConfig") -> None:
    """Raises `UserError` for keys that only a training reads: what is drawn from is loaded in `dtype`."""
    for key in ("load_in_4bit", "load_in_8bit"):
        if getattr(model_args, key):
            raise UserError(
                f"{key}: is for grpo and sft; generate and evaluate load the model in `dtype`; leave it out"
            )


def check_memory_keys(training_args: "TrainingArguments", model_args: "ModelConfig") -> None:
    """Raises `UserError` for keys that save memory and do not work where they are asked for; the README has the table."""
    optim = str(getattr(training_args.optim, "value", training_args.optim))
    if sharding() == "FSDP":
        if "8bit" in optim or "bnb" in optim:
            raise UserError(
                f"optim: {optim} does not work with fsdp2, which splits each weight; write adamw_torch_fused, or take zero2"
            )
        if model_args.load_in_8bit:
            raise UserError(
                "load_in_8bit: does not work with fsdp2; write `load_in_4bit: true`, or take zero2 or zero3"
            )
    if getattr(training_args, "activation_offloading", False) and not has_accelerator():
        raise UserError(
            "activation_offloading: there is no GPU whose activations could be kept elsewhere; leave it out"
        )
