"""Reads JSON, CSV and TSV files, and changes nothing: no reader guesses what a value could mean.

The readers of `datasets` make a time of the text "2024-05-01", a number of the text 007, nothing
of the text NA, and 1.0 of a 1 beside 2.5.
"""

import io
import json
import logging
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recipes.core.data.cells import holders
from recipes.core.data.golds import keep_exact
from recipes.core.data.text_files import data_suffix, read_text
from recipes.core.errors import UserError, one_line
from recipes.core.files import Row

if TYPE_CHECKING:
    from datasets import Dataset

logger = logging.getLogger(__name__)

DELIMITERS = (",", ";", "\t", "|")
_QUOTED = re.compile(r'"[^"]*"')  # matches: "question; in words"
# How a delimiter that cannot be seen is written in YAML or in a shell.
_NAMED_DELIMITERS = {"\\t": "\t", "tab": "\t"}


@dataclass(frozen=True)
class TableReader:
    """How the files of one split are read.

    Attributes:
        golds: the columns, or paths into columns, in which golds may be: these stay exactly as the
            file has them, as text where there is no other way.
        delimiter: of a CSV; `None` to take what its header has.
        encoding: see `read_text`.
    """

    golds: Sequence[str] = ()
    delimiter: str | None = None
    encoding: str | None = None

    def read(self, paths: Sequence[Path]) -> "Dataset":
        """The rows of JSON and JSONL files, or of CSV and TSV files, one file after the other."""
        from datasets import Dataset

        rows: list[Row] = []
        for path in paths:
            text = read_text(path, self.encoding)
            if not text.strip():
                raise UserError(f"{path}: is empty")
            is_csv = data_suffix(path.name) in (".csv", ".tsv")
            rows += self._read_csv(path, text) if is_csv else _read_json(path, text)

        # Golds stay exact, wherever in a row they are.
        for name in self.golds:
            places = list(holders(rows, name))
            exact = keep_exact([holder[key] for holder, key in places])
            for (holder, key), gold in zip(places, exact, strict=True):
                holder[key] = gold

        # Later rows may have columns that the first one lacks.
        names = dict.fromkeys(name for row in rows for name in row)
        columns = {name: [row.get(name) for row in rows] for name in names}
        return Dataset.from_dict(columns, on_mixed_types="use_json")

    def _read_csv(self, path: Path, text: str) -> list[Row]:
        """Every cell is a text, or a number where all cells of a column are plain numbers."""
        import pandas

        separator = _choose_delimiter(path, text, self.delimiter)
        try:
            # Nothing is taken for a missing value, or for a number.
            frame = pandas.read_csv(
                io.StringIO(text), sep=separator, dtype=str, keep_default_na=False
            )
        except ValueError as error:  # pandas' ParserError names the line
            raise UserError(f"{path}: {one_line(error, 200)}") from error
        # pandas takes a first field that has no name for the name of its row.
        if not isinstance(frame.index, pandas.RangeIndex):
            raise UserError(
                f"{path}: the rows have more fields than the header; put texts with "
                f"{separator!r} in double quotes, or write `delimiter`"
            )
        names = [str(name) for name in frame.columns]
        columns = [_as_numbers([cell or None for cell in frame[name]]) for name in frame.columns]
        return [dict(zip(names, cells, strict=True)) for cells in zip(*columns, strict=True)]


def _read_json(path: Path, text: str) -> list[Row]:
    """A list of objects, an object a line, or one object of columns."""
    rows = _parse_rows(path, text)
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, dict):
            raise UserError(f"{path}: row {number} is no object but {json.dumps(row)[:80]}")
    return rows


def _parse_rows(path: Path, text: str) -> list[Any]:
    # One document: a list of rows, or an object that is written on several lines.
    first_line = text.lstrip().partition("\n")[0]
    if text.lstrip().startswith("[") or not _is_json(first_line):
        document = _parse(path, text)
        return document if isinstance(document, list) else _transpose(document)

    # A row a line. Only line breaks separate them: a text may contain other separators of lines.
    rows = []
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            rows.append(_parse(path, line, f", line {number}"))
    return rows


def _transpose(document: Any) -> list[Any]:
    """The rows of an object of columns; any other document is a row itself."""
    is_mapping = isinstance(document, dict) and document
    if not is_mapping or not all(isinstance(cells, list) for cells in document.values()):
        return [document]
    if len({len(cells) for cells in document.values()}) > 1:
        return [document]
    return [
        dict(zip(document, cells, strict=True)) for cells in zip(*document.values(), strict=True)
    ]


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _parse(path: Path, text: str, where: str = "") -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}{where}: is not JSON: {one_line(error, 200)}") from error


def _choose_delimiter(path: Path, text: str, delimiter: str | None) -> str:
    """The delimiter that is written, else that of TSV, else the one most frequent in the header."""
    if delimiter:
        separator = _NAMED_DELIMITERS.get(delimiter, delimiter)
        if len(separator) != 1:
            raise UserError(f"delimiter is {delimiter!r}; write one character, such as ';'")
        return separator
    if data_suffix(path.name) == ".tsv":
        return "\t"

    # The header has names, in which these characters hardly occur.
    header = _QUOTED.sub("", text.lstrip("\r\n").partition("\n")[0])
    separator = max(DELIMITERS, key=header.count)
    if separator != ",":
        logger.warning(
            "%s: fields are divided by %r, as in its header; if that is wrong, write `delimiter`",
            path,
            separator,
        )
    return separator


def _as_numbers(cells: list[str | None]) -> list[Any]:
    """The cells as numbers if every one, written as text again, is what the file has."""
    for kind in (int, float):
        try:
            numbers = [None if cell is None else kind(cell) for cell in cells]
        except ValueError:
            continue
        texts = [None if number is None else str(number) for number in numbers]
        if texts == cells and _fit_64_bits(numbers):
            return numbers
    return list(cells)


def _fit_64_bits(numbers: Iterable[float | None]) -> bool:
    return all(number is None or abs(number) < 2**63 for number in numbers)  # false for NaN
