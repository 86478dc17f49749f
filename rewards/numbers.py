"""Are two answers the same? Decided exactly and at once where that is possible, and left open where it is not."""

import re
from collections import Counter
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache

from rewards.algebra import Formula, Unread, formula

_INTEGER = r"\d{1,3}(?:,\d{3})+|\d+"  # with or without thousands separators
_NUMBER = re.compile(
    rf"(?:\\?\$\s*)?(?P<sign>[+-]?)\s*(?:\\?\$\s*)?(?P<whole>{_INTEGER})?(?P<decimals>\.\d+)?\.?\s*(?P<percent>\\?%)?", re.ASCII
)
_MAX_CHARACTERS = 100  # a longer number is text: Python refuses to convert 4,300 digits and more
_DELIMITERS = (("$$", "$$"), ("$", "$"), (r"\(", r"\)"), (r"\[", r"\]"))
_NOTHING = re.compile(r"(?<!\\)\\(?:(?:left|right)(?![A-Za-z])|!)")
_SPACE = re.compile(r"(?<!\\)\\[,; ]|~")
_NEEDLESS_SPACE = re.compile(r"\s+(?![A-Za-z0-9])|(?<![A-Za-z0-9,])\s+")  # that of `1 2` and of `1, 200` stays
_UNIT = re.compile(r"(?<=[\d)}])\s*(?:\\text\{\s*[A-Za-z]+\s*\}|\^\{?\\circ\}?)\Z")  # math-verify leaves units out, too
_BOX = re.compile(r"\\boxed\{([^{}]*)\}")
_BRACKETS = re.compile(r"(\\\{|[(\[])(.*)(\\\}|[)\]])", re.DOTALL)
_MATRIX = re.compile(r"\\begin\{([pb])matrix\}(.*)\\end\{\1matrix\}", re.DOTALL)


@dataclass(frozen=True)
class Number:
    """A plain number, and how it was written."""

    value: Fraction
    decimal: bool
    percent: bool

    @property
    def formula(self) -> Formula:
        value = self.value / 100 if self.percent else self.value
        return Formula({(1, ()): value} if value else {}, self.decimal)


@dataclass(frozen=True)
class Many:
    """Formulas in brackets, or the rows of a matrix."""

    brackets: str
    parts: tuple["Formula | Many", ...]


Value = Number | Formula | Many | None


def same(gold: str, answer: str) -> bool | None:
    """Whether two texts that `normal` returned are the same answer; `None` if exact arithmetic cannot tell.

    Agrees with math-verify, also where that is generous: `9%` is `0.09` and `9`, units do not count, and decimals that agree to
    about six places are left to it, because it calls `0.333333` a third.
    """
    if gold == answer:
        return True
    a, b = read(gold), read(answer)
    if isinstance(a, Number) and isinstance(b, Number) and a.percent == b.percent and not (a.decimal or b.decimal):
        return a.value == b.value
    x, y = (value.formula if isinstance(value, Number) else value for value in (a, b))
    if (y and y == _numeral(a)) or (x and x == _numeral(b)):
        return True
    return _equal(x, y)


def _numeral(value: Value) -> Formula | None:
    """The 9 of `9%`."""
    if isinstance(value, Number) and value.percent and not value.decimal:
        return replace(value, percent=False).formula
    return None


def _equal(a: Formula | Many | None, b: Formula | Many | None) -> bool | None:
    if isinstance(a, Formula) and isinstance(b, Formula):
        if a.terms == b.terms:
            return True
        if a.decimal or b.decimal:
            constant = len(a.terms | b.terms) == 1 and (1, ()) in a.terms | b.terms
            difference = abs(a.terms.get((1, ()), Fraction(0)) - b.terms.get((1, ()), Fraction(0)))
            return False if constant and difference > Fraction(1, 10**5) else None
        return None if a.symbol or b.symbol else False  # math-verify reads single letters in its own way
    if not isinstance(a, Many) or not isinstance(b, Many):
        return None
    if a.brackets == b.brackets == "{}":
        return _equal_sets(a, b)
    if a.brackets != b.brackets:
        # [1,2) is an interval and no other; (1,2), [1,2] and {1,2} may mean the same point, list or set.
        return False if {a.brackets, b.brackets} & {"[)", "(]"} and len(a.parts) == len(b.parts) == 2 else None
    if len(a.parts) != len(b.parts):
        return False
    parts = [_equal(x, y) for x, y in zip(a.parts, b.parts, strict=True)]
    return False if False in parts else None if None in parts else True


def _equal_sets(a: Many, b: Many) -> bool | None:
    parts = [*a.parts, *b.parts]
    if any(isinstance(part, Many) or part.decimal or part.symbol for part in parts):
        return None
    first, second = (Counter(frozenset(part.terms.items()) for part in x.parts if isinstance(part, Formula)) for x in (a, b))
    return set(first) == set(second)


@lru_cache(maxsize=65536)
def read(text: str) -> Value:
    """A plain number, a formula, formulas in brackets or a matrix; `None` for anything else, and for what has two readings."""
    if plain := number(text):
        return plain
    text = _UNIT.sub("", text)
    try:
        return number(text) or (_matrix(text) if text.startswith("\\begin") else _brackets(text)) or formula(text)
    except Unread:
        return None


def number(text: str) -> Number | None:
    """An integer, a decimal or a percentage, with or without a dollar sign."""
    match = _NUMBER.fullmatch(text) if len(text) <= _MAX_CHARACTERS else None
    if not match or not (match["whole"] or match["decimals"]):
        return None
    value = Fraction(match["sign"] + (match["whole"] or "0").replace(",", "") + (match["decimals"] or ""))
    return Number(value, bool(match["decimals"]), bool(match["percent"]))


def _brackets(text: str) -> Many | None:
    match = _BRACKETS.fullmatch(text)
    if not match or "," not in match[2]:
        return None
    if re.search(r"\d,\d{3}(?!\d)", match[2]):
        raise Unread  # (1,200) can be a number
    brackets = (match[1] + match[3]).replace("\\", "")
    if ("{" in brackets) != ("}" in brackets):
        raise Unread
    return Many(brackets, tuple(formula(part.strip()) for part in match[2].split(",")))


def _matrix(text: str) -> Many:
    match = _MATRIX.fullmatch(text)
    if not match:
        raise Unread
    rows = match[2].split("\\\\")
    return Many("matrix", tuple(Many("row", tuple(formula(part.strip()) for part in row.split("&"))) for row in rows))


def normal(text: str) -> str:
    """The answer without what does not change it: delimiters, `\\boxed{}`, spacing, another spelling of the same command."""
    inside = boxed(text)
    text = (inside[0] if len(inside) == 1 else text).strip()
    for left, right in _DELIMITERS:
        inner = text[len(left) : -len(right)]
        if text.startswith(left) and text.endswith(right) and inner and left not in inner and right not in inner:
            text = inner.strip()
    if number(text):
        return text
    text = text.replace("\\dfrac", "\\frac").replace("\\tfrac", "\\frac").replace("{,}", ",").replace("\u2212", "-")
    return _NEEDLESS_SPACE.sub("", _SPACE.sub(" ", _NOTHING.sub("", text)))


def boxed(text: str) -> list[str]:
    """What stands inside each `\\boxed{}` of the text that is closed and not inside another one."""
    if match := _BOX.fullmatch(text):
        return [match[1]]
    found: list[str] = []
    if "\\boxed" not in text:
        return found
    opened: list[int] = []  # for each open brace, where the content of the box that it is in starts; 0: in none
    for match in re.finditer(r"\\boxed\s*\{|\\[{}]|[{}]", text):
        if match[0] == "}" and opened:
            start = opened.pop()
            if start and not any(opened[-1:]):
                found.append(text[start : match.start()])
        elif match[0] == "{":
            opened.append(opened[-1] if opened else 0)
        elif match[0].startswith("\\boxed"):
            opened.append(match.end())
    return found
