"""JSON files that survive `kill -9`: append-only lines, and whole documents."""

import json
import logging
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

Row = dict[str, Any]

logger = logging.getLogger(__name__)


def read_jsonl(path: Path) -> list[Row]:
    """All rows of the file; none if it is missing. A torn line is not a row: the last one, or one that another process wrote on
    before both were killed."""
    if not path.exists():
        return []
    rows = []
    for number, line in enumerate(
        path.read_bytes().split(b"\n")[:-1], start=1
    ):  # what follows the last line break was torn off
        try:
            rows.append(json.loads(line))
        except ValueError:
            logger.warning("%s, line %d: is torn and is not read", path, number)
    return rows


def append_jsonl(path: Path, rows: Iterable[Row]) -> None:
    """Adds whole lines and hands them to the disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        file.write(b"".join(json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in rows))
        file.flush()
        os.fsync(file.fileno())


def filter_jsonl(path: Path, wanted: Callable[[Row], bool]) -> list[Row]:
    """Drops a torn last line and the rows that are not wanted; returns those that stay. The file is replaced in one step."""
    rows = [row for row in read_jsonl(path) if wanted(row)]
    if path.exists():
        replace_jsonl(path, rows)
    return rows


def replace_jsonl(path: Path, rows: Iterable[Row]) -> None:
    """Puts `rows` in the place of the file, in one step."""
    temporary = path.with_name(path.name + ".part")
    temporary.unlink(missing_ok=True)
    append_jsonl(temporary, rows)
    temporary.replace(path)


def write_json(path: Path, value: Any) -> None:
    """Writes one JSON value so that a reader finds the old file or the whole new one, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".part")
    temporary.write_text(
        json.dumps(value, indent=2, ensure_ascii=False, default=str) + "\n", encoding="utf-8"
    )
    temporary.replace(path)
