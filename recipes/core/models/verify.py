"""Reads saved weights back and compares them with the model they were saved from."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from recipes.core.errors import UserError
from recipes.core.runtime.watchdog import report_activity

SAVE_REMEDY = (
    "this combination of keys and accelerate config cannot be saved; use another --accelerate"
)


def verify_saved_weights(folder: Path, expected: Iterable[str] | None, tied: Iterable[str]) -> None:
    """Checks that the weights saved in `folder` can be those of the model.

    Args:
        expected: names of the tensors that the model saves; `None` if they are unknown.
        tied: patterns of names that share their weights with another tensor and may be missing.

    Raises:
        UserError: a tensor is empty (as other code saves adapters under ZeRO-3) or holds NaN, all
            are zero, or tensors are missing or unknown.
    """
    # Read every tensor of every file.
    names: set[str] = set()
    is_all_zero = True
    for file in sorted(folder.glob("*.safetensors")):
        report_activity(f"reading back {file.name}", alone=True)
        is_zero = _check_tensors(file, names)
        is_all_zero = is_all_zero and is_zero

    # Check the files as a whole, then the names in them.
    if not names:
        raise UserError(f"{folder}: what was just saved has no weights; {SAVE_REMEDY}")
    if is_all_zero:
        raise UserError(f"{folder}: what was just saved is all zero; {SAVE_REMEDY}")
    if expected is not None:
        _check_names(folder, names, set(expected), list(tied))


def saved_tensor_names(model: Any) -> list[str] | None:
    """Names under which `save_pretrained` saves the tensors of a model, or of its adapter.

    `None` for a model whose tensors transformers renames when it saves them, such as one with
    experts.
    """
    from peft import PeftModel, get_peft_model_state_dict
    from transformers.conversion_mapping import get_model_conversion_mapping

    # Only the adapter is saved.
    if isinstance(model, PeftModel):
        return list(get_peft_model_state_dict(model))
    # A model with such a mapping is saved under other names than it is trained.
    if get_model_conversion_mapping(model, add_legacy=False):
        return None
    return list(model.state_dict())


def tied_tensor_names(model: Any) -> list[str]:
    """Patterns of the names of tensors that are saved under another name."""
    return list(getattr(model, "_tied_weights_keys", None) or [])


def _check_tensors(file: Path, names: set[str]) -> bool:
    """Checks each tensor of a file and adds its name; returns whether all are zero."""
    from safetensors import safe_open

    is_all_zero = True
    with safe_open(file, framework="pt") as tensors:
        for name in tensors.keys():  # noqa: SIM118  # not a mapping
            names.add(name)
            # One tensor in memory at a time.
            tensor = tensors.get_tensor(name)
            if tensor.numel() == 0:
                raise UserError(
                    f"{file}: what was just saved is empty ({name} has the shape "
                    f"{list(tensor.shape)}); {SAVE_REMEDY}"
                )
            if tensor.is_floating_point() and not tensor.isfinite().all():
                raise UserError(
                    f"{file}: what was just saved holds NaN or infinity ({name}); "
                    "lower learning_rate"
                )
            is_all_zero = is_all_zero and not tensor.any()
    return is_all_zero


def _check_names(folder: Path, names: set[str], expected: set[str], tied: list[str]) -> None:
    """Raises `UserError` if the saved names are not the expected ones."""
    # A tied tensor may be missing: it is saved under the name of the other one.
    missing = set()
    for name in expected - names:
        if not any(re.search(pattern, name) for pattern in tied):
            missing.add(name)
    unknown = names - expected
    wrong = sorted(missing | unknown)
    if wrong:
        raise UserError(
            f"{folder}: what was just saved is not the model: {len(missing)} tensors are missing, "
            f"{len(unknown)} are unknown, such as {wrong[0]}; {SAVE_REMEDY}"
        )
