"""Checkpoints that can be trusted: sealed once every byte is on the disk, read back, removed only when a later one is good.

Trainer writes `checkpoint-<step>/` file by file. `sealed.json`, written last and in one step, lists the files with their sizes and
hashes: a folder without it was not written to its end, one that differs from it is damaged, and neither is gone on from.
"""

import hashlib
import json
import logging
import os
import re
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from recipes.core import files as jsonl
from recipes.core.config.keys import UserError
from recipes.core.runtime import watchdog as watch

logger = logging.getLogger(__name__)

SEAL = "sealed.json"
_FULL = 1 << 24  # bytes; torch does not say that a disk is full, but less than this being free does


def seal(checkpoint: Path) -> None:
    """Hands every file to the disk and writes down what it holds."""
    files = {path.relative_to(checkpoint).as_posix(): _about(path, sync=True) for path in _files(checkpoint)}
    jsonl.write_document(checkpoint / SEAL, {"files": files})


def damage(checkpoint: Path) -> str | None:
    """What is wrong with a checkpoint; `None` if it is what was sealed."""
    try:
        sealed = json.loads((checkpoint / SEAL).read_text(encoding="utf-8"))["files"]
    except (OSError, ValueError, KeyError):
        return "was not written to its end"
    for name, about in sealed.items():
        path = checkpoint / name
        if not path.is_file():
            return f"has lost {name}"
        if path.stat().st_size != about["bytes"] or _about(path) != about:
            return f"is damaged ({name} is not what was written)"
    return None


def _files(checkpoint: Path) -> list[Path]:
    return sorted(path for path in checkpoint.rglob("*") if path.is_file() and path.name != SEAL)


def _about(path: Path, sync: bool = False) -> dict[str, Any]:
    watch.did(f"hashing {path.name}", alone=True)
    with path.open("rb") as file:
        if sync:
            os.fsync(file.fileno())
        return {"bytes": path.stat().st_size, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}


def all_in(folder: Path) -> list[Path]:
    """The checkpoints of a run, the latest first."""
    found = [path for path in folder.glob("checkpoint-*") if path.is_dir() and re.fullmatch(r"checkpoint-\d+", path.name)]
    return sorted(found, key=lambda path: int(path.name.partition("-")[2]), reverse=True)


def step_of(checkpoint: Path) -> int:
    """The step after which it was saved, whatever the folder is called."""
    return int(json.loads((checkpoint / "trainer_state.json").read_text(encoding="utf-8"))["global_step"])


def set_aside_later(folder: Path, step: int) -> None:
    """Renames the checkpoints after `step`: a run that goes on from there is another branch, and must not go on from theirs."""
    for path in all_in(folder):
        if int(path.name.partition("-")[2]) > step:
            logger.warning("%s is of the steps that are done again; it is now called old-%s", path, path.name)
            path.rename(path.with_name(f"old-{path.name}"))


def remove_old(folder: Path, limit: int | None, best: str | None) -> None:
    """Removes all but the `limit` latest checkpoints and the best one. Called when the latest one is sealed."""
    for old in all_in(folder)[max(1, limit) :] if limit else []:
        if best is None or old.resolve() != Path(best).resolve():
            shutil.rmtree(old)


def read_back(folder: Path, expected: Iterable[str] | None, tied: Iterable[str]) -> None:
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
        watch.did(f"reading back {file.name}", alone=True)
        with safe_open(file, framework="pt") as tensors:
            for name in tensors.keys():  # noqa: SIM118  # no mapping
                names.add(name)
                tensor = tensors.get_tensor(name)
                if tensor.numel() == 0:
                    raise UserError(f"{file}: what was just saved is empty ({name} has the shape {list(tensor.shape)}); {_CURE}")
                if tensor.is_floating_point() and not tensor.isfinite().all():
                    raise UserError(f"{file}: what was just saved holds NaN or infinity ({name}); lower learning_rate")
                zero = zero and not tensor.any()
    if not names or zero:
        raise UserError(f"{folder}: what was just saved {'is all zero' if names else 'holds no weights'}; {_CURE}")
    if expected is None:
        return
    missing = {name for name in set(expected) - names if not any(re.search(pattern, name) for pattern in tied)}
    if wrong := sorted(missing | (names - set(expected))):
        raise UserError(
            f"{folder}: what was just saved is not the model: {len(missing)} tensors are missing, {len(wrong) - len(missing)} are "
            f"unknown, such as {wrong[0]}; {_CURE}"
        )


_CURE = "this combination of keys and accelerate config cannot be saved, take another --accelerate"


def disk_full(error: BaseException, folder: Path) -> bool:
    """Whether `error`, raised while saving to `folder`, came of a full disk."""
    cause: BaseException | None = error
    while cause is not None:
        if (isinstance(cause, OSError) and cause.errno in (28, 122)) or "No space left" in str(cause):  # ENOSPC, EDQUOT
            return True
        cause = cause.__cause__ or cause.__context__
    return shutil.disk_usage(folder).free < _FULL
