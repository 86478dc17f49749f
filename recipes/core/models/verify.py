"""Reads saved weights back and compares them with the model they were saved from."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from recipes.core.errors import UserError
from recipes.core.runtime.watchdog import report_activity


def verify_saved_weights(folder: Path, expected: Iterable[str] | None, tied: Iterable[str]) -> None:
    """Raises `UserError` if the weights saved in `folder` are not the model's: empty tensors (an adapter saved under ZeRO-3 has
    been that elsewhere), nothing but zeros, values that are no numbers, tensors missing or unknown.

    Args:
        expected: the names that the model has for what is saved; `None` if they are not known.
        tied: patterns of names that share their weights with another tensor and may be missing.
    """
    from safetensors import safe_open

    names: set[str] = set()
    zero = True
    for file in sorted(folder.glob("*.safetensors")):
        report_activity(f"reading back {file.name}", alone=True)
        with safe_open(file, framework="pt") as tensors:
            for name in tensors.keys():  # noqa: SIM118  # no mapping
                names.add(name)
                tensor = tensors.get_tensor(name)
                if tensor.numel() == 0:
                    raise UserError(
                        f"{file}: what was just saved is empty ({name} has the shape {list(tensor.shape)}); {SAVE_REMEDY}"
                    )
                if tensor.is_floating_point() and not tensor.isfinite().all():
                    raise UserError(
                        f"{file}: what was just saved holds NaN or infinity ({name}); lower learning_rate"
                    )
                zero = zero and not tensor.any()
    if not names or zero:
        raise UserError(
            f"{folder}: what was just saved {'is all zero' if names else 'holds no weights'}; {SAVE_REMEDY}"
        )
    if expected is None:
        return
    missing = {
        name
        for name in set(expected) - names
        if not any(re.search(pattern, name) for pattern in tied)
    }
    if wrong := sorted(missing | (names - set(expected))):
        raise UserError(
            f"{folder}: what was just saved is not the model: {len(missing)} tensors are missing, {len(wrong) - len(missing)} are "
            f"unknown, such as {wrong[0]}; {SAVE_REMEDY}"
        )


SAVE_REMEDY = (
    "this combination of keys and accelerate config cannot be saved, take another --accelerate"
)


def saved_tensor_names(model: Any) -> list[str] | None:
    """The names that `save_pretrained` gives to the tensors of a model, or of its adapter; `None` for a model that transformers
    saves under other names than it trains it, such as one with experts."""
    from peft import PeftModel, get_peft_model_state_dict
    from transformers.conversion_mapping import get_model_conversion_mapping

    if isinstance(model, PeftModel):
        return list(get_peft_model_state_dict(model))
    return (
        None if get_model_conversion_mapping(model, add_legacy=False) else list(model.state_dict())
    )


def tied_tensor_names(model: Any) -> list[str]:
    """Patterns of the names that are saved under another one."""
    return list(getattr(model, "_tied_weights_keys", None) or [])
