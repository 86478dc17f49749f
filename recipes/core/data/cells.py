"""Finds the cells of a column, or of a dotted path into one: `reward_model.ground_truth`.

A part of a path is the key of a mapping, also of one that is stored as JSON text, or the number of
an element in a list: `conversations.0.value`, `messages.-1.content`.
"""

import json
import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from recipes.core.errors import UserError

if TYPE_CHECKING:
    from datasets import Dataset

_INDEX = re.compile(r"-?\d{1,9}")  # matches: 0  -1


def find_column(
    dataset: "Dataset",
    key: str,
    written: str | None,
    usual_names: Sequence[str],
    where: str,
    advice: str = "",
) -> str:
    """The column or path that the recipe names with `key`, else the first usual one there is.

    Raises:
        UserError: names the columns that there are.
    """
    # A name that the user wrote is the only one that counts.
    candidates = [written] if written else usual_names
    for column in candidates:
        if has_column(dataset, column):
            return column
    raise UserError(
        f"{where}: there is no column {candidates[0]!r}; "
        f"there are: {', '.join(dataset.column_names)}. Write `{key}`{advice}"
    )


def has_column(dataset: "Dataset", name: str) -> bool:
    """Whether there is the column, or one that the path `name` may lead into."""
    columns = dataset.column_names
    return name in columns or ("." in name and name.split(".")[0] in columns)


def read_cells(dataset: "Dataset", name: str, where: str) -> list[Any]:
    """The cells of a column or of a path; `None` in rows without it.

    Raises:
        UserError: no row has the path; the message has the keys that there are.
    """
    # A column may have dots in its name.
    if name in dataset.column_names:
        cells = list(dataset[name])
        if getattr(dataset.features[name], "dtype", "") in ("float16", "float32"):
            return [_widen(cell) for cell in cells]
        return cells

    # Otherwise the path leads into the column of its first part.
    column, *path = name.split(".")
    roots = list(dataset[column])
    cells = [_follow(root, path) for root in roots]
    if all(cell is None for cell in cells):
        raise UserError(f"{where}: is in no row; {_describe_keys(column, roots, path)}")
    return cells


def holders(rows: Sequence[Any], name: str) -> Iterator[tuple[Any, Any]]:
    """What holds each cell of a column or a path, and its key or index there."""
    for row in rows:
        if name in row:
            yield row, name
            continue
        *path, last = name.split(".")
        holder = _follow(row, path)
        if isinstance(holder, dict) and last in holder:
            yield holder, last


def _follow(value: Any, path: Sequence[str]) -> Any:
    """The value at the end of the path; `None` if it leads nowhere."""
    for part in path:
        if isinstance(value, str):
            value = _parse_mapping(value)
        if isinstance(value, dict):
            value = value.get(part)
        elif isinstance(value, list) and _INDEX.fullmatch(part):
            index = int(part)
            value = value[index] if -len(value) <= index < len(value) else None
        else:
            return None
    return value


def _parse_mapping(text: str) -> Any:
    """The mapping or list that a text holds as JSON; `None` if it is an ordinary text."""
    try:
        return json.loads(text)
    except ValueError:
        return None


def _describe_keys(column: str, roots: Sequence[Any], path: Sequence[str]) -> str:
    """The keys of the last mapping on the path, in the first row that has one."""
    # Follow the path as far as it leads.
    value = next((root for root in roots if root is not None), None)
    place = column
    for part in path:
        following = _follow(value, [part])
        if following is None:
            break
        place = f"{place}.{part}"
        value = following
    if isinstance(value, str):
        value = _parse_mapping(value)
    if not isinstance(value, dict):
        return f"{place!r} holds no mapping"
    return f"{place!r} has: {', '.join(map(str, value))}"


def _widen(cell: float | None) -> float | None:
    """The number that a float32 was written as: 0.1, and not 0.10000000149011612."""
    return None if cell is None else float(str(np.float32(cell)))
