"""Checkpoints that can be trusted: checksums are written last, and compared before a run resumes.

Trainer writes `checkpoint-<step>/` file by file. `sealed.json`, written atomically after all of
them, lists the files with their sizes and hashes. A folder without it is incomplete, one that
differs from it is corrupt, and neither is resumed from.
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
_FOLDER_NAME = re.compile(r"checkpoint-(\d+)")  # matches: checkpoint-200


def write_checksums(checkpoint: Path) -> None:
    """Flushes every file of a checkpoint to the disk, then writes their sizes and hashes."""
    records = {}
    for path in sorted(checkpoint.rglob("*")):
        if path.is_file() and path.name != CHECKSUMS_FILE:
            records[path.relative_to(checkpoint).as_posix()] = _file_record(path, sync=True)
    # Written last: where this file is, all others are whole.
    write_json(checkpoint / CHECKSUMS_FILE, {"files": records})


def find_corruption(checkpoint: Path) -> str | None:
    """What is wrong with a checkpoint, as the end of a sentence; `None` if it is intact."""
    # Without readable checksums the checkpoint was never finished.
    try:
        text = (checkpoint / CHECKSUMS_FILE).read_text(encoding="utf-8")
        records = json.loads(text)["files"]
    except (OSError, ValueError, KeyError):
        return "is incomplete"
    for name, record in records.items():
        path = checkpoint / name
        if not path.is_file():
            return f"is damaged ({name} is missing)"
        # The size first: it is free, and tells most damage without hashing gigabytes.
        if path.stat().st_size != record["bytes"] or _file_record(path) != record:
            return f"is damaged ({name} differs from what was written)"
    return None


def list_checkpoints(folder: Path) -> list[Path]:
    """The checkpoints of a run, latest first."""
    found = []
    for path in folder.glob("checkpoint-*"):
        # A user may keep other folders beside them, such as checkpoint-best.
        if path.is_dir() and _FOLDER_NAME.fullmatch(path.name):
            found.append(path)
    return sorted(found, key=_step_in_name, reverse=True)


def checkpoint_step(checkpoint: Path) -> int:
    """The step after which a checkpoint was saved, whatever its folder is called."""
    state = json.loads((checkpoint / "trainer_state.json").read_text(encoding="utf-8"))
    return int(state["global_step"])


def archive_later_checkpoints(folder: Path, step: int) -> None:
    """Renames the checkpoints after `step`.

    A run that resumes from `step` is another branch, and must never resume from these.
    """
    for path in list_checkpoints(folder):
        if _step_in_name(path) > step:
            logger.warning(
                "%s belongs to steps that will be re-run; renamed to old-%s", path, path.name
            )
            path.rename(path.with_name(f"old-{path.name}"))


def prune_checkpoints(folder: Path, limit: int | None, best: str | None) -> None:
    """Removes all but the `limit` latest checkpoints and the best one.

    Called once the latest one has its checksums, so that an intact one always exists.
    """
    if not limit:
        return
    for old in list_checkpoints(folder)[max(1, limit) :]:
        # The best one is loaded at the end of the run.
        if best is None or old.resolve() != Path(best).resolve():
            shutil.rmtree(old)


def _step_in_name(path: Path) -> int:
    return int(path.name.partition("-")[2])


def _file_record(path: Path, sync: bool = False) -> dict[str, Any]:
    """Size and hash of a file; `sync` flushes it to the disk first."""
    report_activity(f"hashing {path.name}", alone=True)
    with path.open("rb") as file:
        if sync:
            os.fsync(file.fileno())
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return {"bytes": path.stat().st_size, "sha256": sha256}
