"""Reads the text of a file: compressed or not, in whatever encoding it is."""

import bz2
import codecs
import gzip
import logging
import lzma
import re
import zlib
from pathlib import Path

from recipes.core.errors import UserError, one_line

logger = logging.getLogger(__name__)

COMPRESSED = {".gz": gzip.decompress, ".bz2": bz2.decompress, ".xz": lzma.decompress}

# What a file in a Unicode encoding may begin with. UTF-32's mark begins with that of UTF-16.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
FALLBACK = "cp1252"  # of Windows in Western languages, and of most old spreadsheets
_FOREIGN_WORD = re.compile(r"\w*[^\x00-\x7f]\w*")  # matches: Größe  café


def data_suffix(name: str) -> str:
    """The ending that tells the kind of a file, without that of its compression."""
    path = Path(name)
    if path.suffix.lower() in COMPRESSED:
        path = path.with_suffix("")
    return path.suffix.lower()


def read_text(path: Path, encoding: str | None = None) -> str:
    """The whole text of a file, unpacked and decoded.

    Args:
        encoding: its encoding; `None` to take that of its byte order mark, else UTF-8, else
            Windows' western one, with a warning.

    Raises:
        UserError: the file cannot be unpacked or decoded.
    """
    raw = _read_bytes(path)
    # What is written, what the file says itself, or UTF-8.
    if encoding:
        return _decode(path, raw, encoding)
    for mark, name in _MARKS:
        if raw.startswith(mark):
            return _decode(path, raw, name)
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return _guess(path, raw)


def _read_bytes(path: Path) -> bytes:
    raw = path.read_bytes()
    unpack = COMPRESSED.get(path.suffix.lower())
    if unpack is None:
        return raw
    try:
        return unpack(raw)
    except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        raise UserError(f"{path}: cannot be unpacked: {one_line(error, 200)}") from error


def _decode(path: Path, raw: bytes, encoding: str) -> str:
    try:
        return raw.decode(encoding).removeprefix("\ufeff")
    except (LookupError, ValueError, TypeError) as error:
        raise UserError(f"{path}: encoding {encoding!r}: {one_line(error, 200)}") from error


def _guess(path: Path, raw: bytes) -> str:
    """The text of a file that is not UTF-8; a word of it tells the user if the guess is wrong."""
    advice = "write `encoding`, such as utf-16, latin-1, cp1251, shift_jis or gb18030"
    # A null byte is half of a character of UTF-16.
    try:
        text = raw.decode(FALLBACK)
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: is not UTF-8; {advice}") from error
    if "\0" in text:
        raise UserError(f"{path}: is not UTF-8; {advice}")
    word = _FOREIGN_WORD.search(text)
    logger.warning(
        "%s: is not UTF-8 and is read as %s, which gives %r; if that is wrong, %s",
        path,
        FALLBACK,
        word[0] if word else "",
        advice,
    )
    return text
