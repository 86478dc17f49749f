"""Are two answers the same? Decided exactly and at once where that is possible, and left open where it is not."""

import re
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache

from rewards.answers.polynomial import Polynomial, Sum, Unparsable, parse_polynomial

_INTEGER = r"[1-9]\d{0,2}(?:[, ]\d{3})+|\d+"  # with or without thousands separators
_CURRENCY = r"(?:\\?\$|[€£¥₹])?\s*"
_NUMBER = re.compile(
    rf"{_CURRENCY}(?P<sign>[+-]?)\s*{_CURRENCY}(?P<whole>{_INTEGER})?(?P<decimals>\.\d+)?(?P<exponent>[eE][+-]?\d{{1,3}})?"
    r"\.?\s*(?P<percent>\\?%)?",
    re.ASCII,
)
_MAX_READ = 1000  # characters of an answer; longer ones go to a worker process
_MAX_CHARACTERS = 100  # a longer number is text: Python refuses to convert 4,300 digits and more
# math-verify leaves units out, too. Single letters are units in \text{} only: elsewhere they are variables.
_UNITS = (
    "mm|cm|km|kg|mg|ft|feet|foot|in|inch(?:es)?|yards?|miles?|mph|(?:kilo|centi|milli)?met(?:er|re)s?|lit(?:er|re)s?|(?:kilo)?grams?|"
    "pounds?|lbs?|ounces?|oz|sec(?:ond)?s?|min(?:ute)?s?|hours?|hrs?|days?|weeks?|months?|years?|degrees?|deg|dollars?|cents?|euros?|"
    "units?|square units|square (?:cm|feet|inches|meters|miles)|cubic (?:cm|feet|inches|meters)"
)
_UNIT = re.compile(
    rf"(?<=[\d)}}])\s*(?:\\text\{{\s*(?:{_UNITS}|[mgshl])\s*\}}|\b(?:{_UNITS})|\^\{{?\\circ\}}?)\Z"
)
_MULTIPLES = {
    "dozen": 12,
    "hundred": 100,
    "thousand": 10**3,
    "million": 10**6,
    "billion": 10**9,
    "trillion": 10**12,
}
_MULTIPLE = re.compile(
    rf"(.+?)\s*(?:\\text\{{\s*)?({'|'.join(_MULTIPLES)})(?:\s+[a-z]+)?\s*\}}?", re.DOTALL
)
_LETTERS = re.compile(r"[A-Za-z]+(?: [A-Za-z]+)*")
_WORDS = re.compile(r".*[A-Z].|.{5}")  # `xyz` is a product
_MIXED = re.compile(r"([+-]?)(\d+)(?: (\d+)/(\d+)| ?\\frac\{(\d+)\}\{(\d+)\})", re.ASCII)
_RELATION = re.compile(r"<|>|\\(?:[lgn]eq?|neq|leq|geq|not)(?![A-Za-z])|^\D*\bnot\b")
_BASED = re.compile(r"(\w+)_\{?(\d+)\}?", re.ASCII)  # 2516_8
_BRACKETS = re.compile(r"(\\\{|[(\[])(.*)(\\\}|[)\]])", re.DOTALL)
_MATRIX = re.compile(r"\\begin\{([pb])matrix\}(.*)\\end\{\1matrix\}", re.DOTALL)


@dataclass(frozen=True)
class Number:
    """A plain number, and how it was written."""

    value: Fraction
    decimal: bool
    percent: bool

    @property
    def formula(self) -> Polynomial:
        value = self.value / 100 if self.percent else self.value
        return Polynomial({(1, ()): value} if value else {}, self.decimal)


@dataclass(frozen=True)
class ValueCollection:
    """Formulas in brackets, or the rows of a matrix."""

    brackets: str
    parts: tuple["Polynomial | ValueCollection", ...]


Value = Number | Polynomial | ValueCollection | None


def compare(gold: str, answer: str) -> bool | None:
    """Whether two texts that `normal` returned are the same answer; `None` if exact arithmetic cannot tell.

    Agrees with math-verify, also where that is generous: `9%` is `0.09` and `9`, units do not count, and decimals that agree to
    about six places are left to it, because it calls `0.333333` a third. Where it is plainly wrong is a table in the tests.
    """
    if gold == answer:
        return True
    a, b = read_value(gold), read_value(answer)
    if (
        isinstance(a, Number)
        and isinstance(b, Number)
        and a.percent == b.percent
        and not (a.decimal or b.decimal)
    ):
        return a.value == b.value
    if (
        _LETTERS.fullmatch(gold)
        and _LETTERS.fullmatch(answer)
        and (_WORDS.match(gold) or _WORDS.match(answer))
    ):
        return (
            gold.casefold() == answer.casefold()
        )  # to math-verify a word is a product of its letters
    if based := _BASED.fullmatch(answer):
        return (
            numeral := _BASED.fullmatch(gold)
        ) is not None and numeral.groups() == based.groups()
    if isinstance(a, Number | Polynomial) and _RELATION.search(answer):
        return False
    x, y = (value.formula if isinstance(value, Number) else value for value in (a, b))
    return (_percent(a) != _percent(b) and _numeral(a) == _numeral(b)) or _equal(x, y)


def _percent(value: Value) -> bool:
    return isinstance(value, Number) and value.percent


def _numeral(value: Value) -> Sum | None:
    """The terms of a number or formula, those of 9 for `9%`."""
    formula = replace(value, percent=False).formula if isinstance(value, Number) else value
    return formula.terms if isinstance(formula, Polynomial) else None


def _equal(
    a: Polynomial | ValueCollection | None, b: Polynomial | ValueCollection | None
) -> bool | None:
    if isinstance(a, Polynomial) and isinstance(b, Polynomial):
        if a.terms == b.terms:
            return True
        if a.decimal or b.decimal:
            return False if _far(a, b) else None
        # math-verify takes trailing letters for units, and single ones in its own way.
        return None if a.letters != b.letters or a.symbol else False
    if not isinstance(a, ValueCollection) or not isinstance(b, ValueCollection):
        return None
    if a.brackets == b.brackets == "{}":
        return _equal_sets(a, b)
    if a.brackets != b.brackets:
        # [1,2) is an interval and no other; (1,2), [1,2] and {1,2} may mean the same point, list or set.
        return (
            False
            if {a.brackets, b.brackets} & {"[)", "(]"} and len(a.parts) == len(b.parts) == 2
            else None
        )
    if len(a.parts) != len(b.parts):
        return False
    parts = [_equal(x, y) for x, y in zip(a.parts, b.parts, strict=True)]
    return False if False in parts else None if None in parts else True


def _far(a: Polynomial, b: Polynomial) -> bool:
    """Whether two rational numbers are too far apart to be the same but for rounding. math-verify rounds to six places, which
    makes all small numbers equal: a hundredth of their size is a difference, too."""
    one = (1, ())
    if set(a.terms) | set(b.terms) != {one}:
        return False
    x, y = a.terms.get(one, Fraction(0)), b.terms.get(one, Fraction(0))
    return abs(x - y) > min(Fraction(1, 10**5), max(abs(x), abs(y)) / 100)


def _equal_sets(a: ValueCollection, b: ValueCollection) -> bool | None:
    parts = [*a.parts, *b.parts]
    if any(isinstance(part, ValueCollection) or part.decimal or part.symbol for part in parts):
        return None
    first, second = (
        {frozenset(p.terms.items()) for p in x.parts if isinstance(p, Polynomial)} for x in (a, b)
    )
    return first == second


def read_value(text: str) -> Value:
    """A plain number, a formula, formulas in brackets or a matrix; `None` for anything else, and for what has two readings."""
    return _read_value(text) if len(text) <= _MAX_READ else None


@lru_cache(maxsize=65536)
def _read_value(text: str) -> Value:
    if plain := parse_number(text):
        return plain
    text = _UNIT.sub("", text)
    if mixed := _MIXED.fullmatch(text):
        sign, whole, above, below = (
            mixed[1],
            int(mixed[2]),
            int(mixed[3] or mixed[5]),
            int(mixed[4] or mixed[6]),
        )
        value = whole + Fraction(above, below) if below else None
        return Number(-value if sign == "-" else value, False, False) if value is not None else None
    if (many := _MULTIPLE.fullmatch(text)) and (plain := parse_number(many[1])):
        return replace(plain, value=plain.value * _MULTIPLES[many[2]])
    try:
        return (
            parse_number(text)
            or (_read_matrix(text) if text.startswith("\\begin") else _read_brackets(text))
            or parse_polynomial(text)
        )
    except Unparsable:
        return None


def parse_number(text: str) -> Number | None:
    """An integer, a decimal or a percentage, with or without a dollar sign."""
    match = _NUMBER.fullmatch(text) if len(text) <= _MAX_CHARACTERS else None
    if not match or not (match["whole"] or match["decimals"]):
        return None
    digits = (
        re.sub("[, ]", "", match["whole"] or "0")
        + (match["decimals"] or "")
        + (match["exponent"] or "")
    )
    return Number(
        Fraction(match["sign"] + digits),
        bool(match["decimals"] or match["exponent"]),
        bool(match["percent"]),
    )


def _read_brackets(text: str) -> ValueCollection | None:
    match = _BRACKETS.fullmatch(text)
    if not match or "," not in match[2]:
        return None
    if re.search(r"\d,\d{3}(?!\d)", match[2]):
        raise Unparsable  # (1,200) can be a number
    brackets = (match[1] + match[3]).replace("\\", "")
    if ("{" in brackets) != ("}" in brackets):
        raise Unparsable
    parts = tuple(parse_polynomial(part.strip()) for part in match[2].split(","))
    if r"\infty" in match[2].rpartition(",")[2]:
        brackets = brackets.replace("]", ")")  # an infinite end is open, however it is written
    return ValueCollection(brackets, parts)


def _read_matrix(text: str) -> ValueCollection:
    match = _MATRIX.fullmatch(text)
    if not match:
        raise Unparsable
    rows = match[2].split("\\\\")
    return ValueCollection(
        "matrix",
        tuple(
            ValueCollection("row", tuple(parse_polynomial(part.strip()) for part in row.split("&")))
            for row in rows
        ),
    )
