"""JSON files that survive `kill -9`: append-only JSON lines, and whole documents.

A reader finds the old file or the whole new one, and every line that was written to its end.
"""

import json
import logging
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

Row = dict[str, Any]

logger = logging.getLogger(__name__)


def read_jsonl(path: Path) -> list[Row]:
    """All rows of the file; none if it does not exist.

    A torn line is skipped with a warning: the last one of a killed process, or one that another
    process continued before both were killed.
    """
    if not path.exists():
        return []
    # What follows the last line break was torn off.
    lines = path.read_bytes().split(b"\n")[:-1]
    rows = []
    for number, line in enumerate(lines, start=1):
        try:
            rows.append(json.loads(line))
        except ValueError:
            logger.warning("%s, line %d: is torn and is skipped", path, number)
    return rows


def append_jsonl(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Appends whole lines and flushes them to the disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # One write of whole lines: a kill tears the last line at most.
    lines = [json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in rows]
    with path.open("ab") as file:
        file.write(b"".join(lines))
        file.flush()
        os.fsync(file.fileno())


def filter_jsonl(path: Path, wanted: Callable[[Row], bool]) -> list[Row]:
    """Removes unwanted rows and torn lines from the file, atomically; returns the rows it keeps."""
    rows = [row for row in read_jsonl(path) if wanted(row)]
    if path.exists():
        replace_jsonl(path, rows)
    return rows


def replace_jsonl(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Replaces the content of the file by `rows`, atomically."""
    temporary = _temporary(path)
    # Left over from a process that was killed here.
    temporary.unlink(missing_ok=True)
    append_jsonl(temporary, rows)
    temporary.replace(path)


def write_json(path: Path, value: Any) -> None:
    """Writes one JSON document, atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(value, indent=2, ensure_ascii=False, default=str)
    # A rename is atomic; a write is not.
    temporary = _temporary(path)
    temporary.write_text(text + "\n", encoding="utf-8")
    temporary.replace(path)


def _temporary(path: Path) -> Path:
    return path.with_name(path.name + ".part")
