"""Reads an answer as a number, a formula, formulas in brackets, or a matrix."""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache

from rewards.answers.polynomial import Polynomial, parse_polynomial
from rewards.answers.sums import ONE, Sum, Unparsable
from rewards.answers.units import MULTIPLE, MULTIPLES, strip_unit

MAX_LENGTH = 1000  # characters of an answer; longer ones go to a worker process
_MAX_NUMBER_LENGTH = 100  # longer ones are text: Python refuses to convert 4,300 digits

# `normalize` leaves single spaces, so no pattern looks for more: one unbounded quantifier beside
# another takes hours on a megabyte of spaces.
_CURRENCY = r"(?:\\?\$|[€£¥₹])?\s?"

# matches: 72  1,200  1 200  -$18.00  $-18  25\%  3.  1e-5
_NUMBER = re.compile(
    rf"{_CURRENCY}(?P<sign>[+-]?)\s?{_CURRENCY}"
    r"(?P<whole>[1-9]\d{0,2}(?:[, ]\d{3})+|\d+)?"  # with or without thousands separators
    r"(?P<decimals>\.\d+)?"
    r"(?P<exponent>[eE][+-]?\d{1,3})?"
    r"\.?\s?(?P<percent>\\?%)?",
    re.ASCII,
)

# matches: 1 1/2  1 \frac{1}{2}  -2\frac{3}{4}
_MIXED = re.compile(r"([+-]?)(\d+)(?: (\d+)/(\d+)| ?\\frac\{(\d+)\}\{(\d+)\})", re.ASCII)

# matches: (1,2)  [1,2)  \{1,2\}
_BRACKETS = re.compile(r"(\\\{|[(\[])(.*)(\\\}|[)\]])", re.DOTALL)

_THOUSANDS = re.compile(r"\d,\d{3}(?!\d)")  # matches: 1,200 in (1,200), which has two readings

# matches: \begin{pmatrix}1&2\\3&4\end{pmatrix}
_MATRIX = re.compile(r"\\begin\{([pb])matrix\}(.*)\\end\{\1matrix\}", re.DOTALL)


@dataclass(frozen=True)
class Number:
    """A plain number, and how it was written."""

    value: Fraction
    decimal: bool = False
    percent: bool = False

    @property
    def formula(self) -> Polynomial:
        """The number as a formula; 25 % is a quarter."""
        value = self.value / 100 if self.percent else self.value
        terms: Sum = {ONE: value} if value else {}
        return Polynomial(terms, self.decimal)


@dataclass(frozen=True)
class ValueCollection:
    """Formulas in brackets, or the rows of a matrix."""

    brackets: str
    parts: tuple["Polynomial | ValueCollection", ...]


Value = Number | Polynomial | ValueCollection


def read_value(text: str) -> Value | None:
    """The value of an answer; `None` for anything else, and for what has two readings."""
    return _read_value(text) if len(text) <= MAX_LENGTH else None


def parse_number(text: str) -> Number | None:
    """An integer, a decimal or a percentage, with or without a currency sign."""
    if len(text) > _MAX_NUMBER_LENGTH:
        return None
    match = _NUMBER.fullmatch(text)
    if not match or not (match["whole"] or match["decimals"]):
        return None
    # Commas and spaces only group digits.
    whole = re.sub("[, ]", "", match["whole"] or "0")
    fraction = match["decimals"] or ""
    exponent = match["exponent"] or ""
    return Number(
        Fraction(match["sign"] + whole + fraction + exponent),
        decimal=bool(fraction or exponent),
        percent=bool(match["percent"]),
    )


@lru_cache(maxsize=65536)
def _read_value(text: str) -> Value | None:
    number = parse_number(text)
    if number:
        return number
    text = strip_unit(text)
    # The first reader that recognizes its notation decides.
    try:
        for read in _READERS:
            value = read(text)
            if value is not None:
                return value
    except Unparsable:
        pass
    return None


def _read_mixed(text: str) -> Number | None:
    """A mixed number."""
    match = _MIXED.fullmatch(text)
    if not match:
        return None
    # The fraction is written a/b or as LaTeX, each with its own groups.
    numerator = int(match[3] or match[5])
    denominator = int(match[4] or match[6])
    if denominator == 0:
        raise Unparsable
    value = int(match[2]) + Fraction(numerator, denominator)
    return Number(-value if match[1] == "-" else value)


def _read_multiple(text: str) -> Number | None:
    """A number of dozens, millions and so on."""
    match = MULTIPLE.fullmatch(text)
    number = parse_number(match[1]) if match else None
    if match is None or number is None:
        return None
    return replace(number, value=number.value * MULTIPLES[match[2]])


def _read_matrix(text: str) -> ValueCollection | None:
    """A matrix, row by row."""
    if not text.startswith("\\begin"):
        return None
    match = _MATRIX.fullmatch(text)
    if not match:
        raise Unparsable
    rows = []
    # LaTeX: \\ ends a row, & a column.
    for row in match[2].split("\\\\"):
        parts = tuple(parse_polynomial(part.strip()) for part in row.split("&"))
        rows.append(ValueCollection("row", parts))
    return ValueCollection("matrix", tuple(rows))


def _read_brackets(text: str) -> ValueCollection | None:
    """A point, an interval, a list or a set."""
    match = _BRACKETS.fullmatch(text)
    if not match or "," not in match[2]:
        return None
    if _THOUSANDS.search(match[2]):
        raise Unparsable
    brackets = (match[1] + match[3]).replace("\\", "")
    if ("{" in brackets) != ("}" in brackets):
        raise Unparsable
    parts = tuple(parse_polynomial(part.strip()) for part in match[2].split(","))
    # An infinite end is open, however it is written.
    if r"\infty" in match[2].rpartition(",")[2]:
        brackets = brackets.replace("]", ")")
    return ValueCollection(brackets, parts)


# In this order: the first reader that returns a value wins.
_READERS: tuple[Callable[[str], Value | None], ...] = (
    _read_mixed,
    _read_multiple,
    parse_number,  # again, now without the unit
    _read_matrix,
    _read_brackets,
    parse_polynomial,
)
