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
from pathlib import Path
from typing import Any

from recipes.core.files import write_json
from recipes.core.runtime.watchdog import report_activity

logger = logging.getLogger(__name__)


CHECKSUMS_FILE = "sealed.json"


def write_checksums(checkpoint: Path) -> None:
    """Hands every file to the disk and writes down what it holds."""
    files = {
        path.relative_to(checkpoint).as_posix(): _file_record(path, sync=True)
        for path in _files(checkpoint)
    }
    write_json(checkpoint / CHECKSUMS_FILE, {"files": files})


def find_corruption(checkpoint: Path) -> str | None:
    """What is wrong with a checkpoint; `None` if it is what was sealed."""
    try:
        sealed = json.loads((checkpoint / CHECKSUMS_FILE).read_text(encoding="utf-8"))["files"]
    except (OSError, ValueError, KeyError):
        return "was not written to its end"
    for name, about in sealed.items():
        path = checkpoint / name
        if not path.is_file():
            return f"has lost {name}"
        if path.stat().st_size != about["bytes"] or _file_record(path) != about:
            return f"is damaged ({name} is not what was written)"
    return None


def _files(checkpoint: Path) -> list[Path]:
    return sorted(
        path for path in checkpoint.rglob("*") if path.is_file() and path.name != CHECKSUMS_FILE
    )


def _file_record(path: Path, sync: bool = False) -> dict[str, Any]:
    report_activity(f"hashing {path.name}", alone=True)
    with path.open("rb") as file:
        if sync:
            os.fsync(file.fileno())
        return {
            "bytes": path.stat().st_size,
            "sha256": hashlib.file_digest(file, "sha256").hexdigest(),
        }


def list_checkpoints(folder: Path) -> list[Path]:
    """The checkpoints of a run, the latest first."""
    found = [
        path
        for path in folder.glob("checkpoint-*")
        if path.is_dir() and re.fullmatch(r"checkpoint-\d+", path.name)
    ]
    return sorted(found, key=lambda path: int(path.name.partition("-")[2]), reverse=True)


def checkpoint_step(checkpoint: Path) -> int:
    """The step after which it was saved, whatever the folder is called."""
    return int(
        json.loads((checkpoint / "trainer_state.json").read_text(encoding="utf-8"))["global_step"]
    )


def archive_later_checkpoints(folder: Path, step: int) -> None:
    """Renames the checkpoints after `step`: a run that goes on from there is another branch, and must not go on from theirs."""
    for path in list_checkpoints(folder):
        if int(path.name.partition("-")[2]) > step:
            logger.warning(
                "%s is of the steps that are done again; it is now called old-%s", path, path.name
            )
            path.rename(path.with_name(f"old-{path.name}"))


def prune_checkpoints(folder: Path, limit: int | None, best: str | None) -> None:
    """Removes all but the `limit` latest checkpoints and the best one. Called when the latest one is sealed."""
    for old in list_checkpoints(folder)[max(1, limit) :] if limit else []:
        if best is None or old.resolve() != Path(best).resolve():
            shutil.rmtree(old)
