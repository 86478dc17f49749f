"""Checks the paths of models and the keys that decide how a model is loaded."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from recipes.core.errors import UserError
from recipes.core.runtime.device import has_accelerator, sharding

if TYPE_CHECKING:
    from trl import ModelConfig

MODEL_FILES = ("config.json", "adapter_config.json")


def check_model_path(key: str, name: str | None) -> str:
    """Returns `name` if it can be a model: a folder with a config or an adapter, or a hub id.

    A hub id is not looked up.

    Args:
        key: the configuration key that names the model.

    Raises `UserError` for anything else.
    """
    if not name:
        raise UserError(f"{key} is not set; write a hub id or the folder of a model")
    # Anything but a folder is a hub id, unless it is written like a path.
    looks_like_path = name.startswith((".", "/", "outputs/")) or name.count("/") > 1
    if looks_like_path or Path(name).is_dir():
        return check_model_folder(key, Path(name), name)
    return name


def check_model_folder(key: str, folder: Path, name: str | None = None) -> str:
    """The path of a folder with a model, such as an artefact of the run; never a hub id.

    Args:
        name: how the user writes the path.

    Raises `UserError` if there is no such folder, or no model or adapter in it.
    """
    name = name or str(folder)
    if not folder.is_dir():
        raise UserError(f"{key}: there is no folder {name!r}")
    # One file tells a model or an adapter; the message shows what there is instead.
    if any((folder / file).is_file() for file in MODEL_FILES):
        return name
    content = ", ".join(sorted(path.name for path in folder.iterdir())[:8]) or "nothing"
    raise UserError(
        f"{key}: {name!r} has no model (no config.json or adapter_config.json); "
        f"it contains {content}"
    )


def check_not_quantised(model_args: "ModelConfig") -> None:
    """Raises `UserError` for quantisation in a stage that only samples."""
    # Such a stage loads the model in `dtype` and would ignore these keys.
    for key in ("load_in_4bit", "load_in_8bit"):
        if getattr(model_args, key):
            raise UserError(
                f"{key}: is for stages that train; generate and evaluate load the model in "
                "`dtype`; leave it out"
            )


def check_memory_keys(training_args: Any, model_args: "ModelConfig") -> None:
    """Raises `UserError` for memory-saving keys where they do not work (docs/memory.md).

    Args:
        training_args: anything with `optim` and, for SFT, `activation_offloading`.
    """
    # FSDP2 shards each weight, which breaks bitsandbytes' 8-bit formats.
    optim = str(getattr(training_args.optim, "value", training_args.optim))
    if sharding() == "FSDP":
        if "8bit" in optim or "bnb" in optim:
            raise UserError(
                f"optim: {optim} does not work with fsdp2, which splits each weight; "
                "write adamw_torch_fused, or use zero2"
            )
        if model_args.load_in_8bit:
            raise UserError(
                "load_in_8bit: does not work with fsdp2; write `load_in_4bit: true`, "
                "or use zero2 or zero3"
            )

    # Offloading moves activations from a GPU to the host.
    if getattr(training_args, "activation_offloading", False) and not has_accelerator():
        raise UserError(
            "activation_offloading: there is no GPU whose activations could be moved; leave it out"
        )
