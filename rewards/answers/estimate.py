r"""Proves cheaply that two answers differ: one has a number that the other lacks.

    6 - 5i   and   3, 5, 7   and   (0,9) \cup (9,36)   and   x \in [-2,7]

An answer is the numbers in it, whatever holds them together, in floating point (floats.py). That
proves no equality, and says nothing of a text that is not understood to its last character.
"""

import re
from dataclasses import dataclass
from functools import lru_cache

from rewards.answers.floats import Values, constant, evaluate, evaluate_sum
from rewards.answers.polynomial import Polynomial
from rewards.answers.quantity import Number, ValueCollection, parse_number, read_value
from rewards.answers.sums import Unparsable
from rewards.answers.units import MULTIPLES

_MAX_CHARACTERS = 300

# Exact numbers that differ by more are different, as are decimals for math-verify, which rounds
# them to six places; of small numbers, a hundredth of their size is enough.
_MAX_ROUNDING = 1e-5
_MAX_RELATIVE_ROUNDING = 0.01
_MAX_FLOAT_ERROR = 1e-9  # of the size

_MEMBER = re.compile(r"[A-Za-z]\s*\\in(?![A-Za-z])\s*")  # matches: x \in
_MATRIX = re.compile(r"\\begin\{[pb]matrix\}([^{}]*(?:\{[^{}]*\}[^{}]*)*)\\end\{[pb]matrix\}")
_CELL_ENDS = re.compile(r"&|\\\\")
_UNION = re.compile(r"\\cup(?![A-Za-z])")
_BRACKETS = re.compile(r"(?:\\\{|[(\[])(.*,.*)(?:\\\}|[)\]])", re.DOTALL)  # matches: (1,2]
_SET = re.compile(r"\\\{(.*)\\\}", re.DOTALL)
_THOUSANDS = re.compile(r"\d,\d{3}(?!\d)")  # matches: 1,200 in (1,200), which has two readings
_COMPARED = re.compile(r"<|>|\\(?:leq?|geq?|lt|gt)(?![A-Za-z])")  # matches: < \le
_NAMED = re.compile(r"[A-Za-z](?:\([A-Za-z]\))?")  # matches: y  f(x)
_BASED = re.compile(r"(\d+)_\{?(\d{1,2})\}?", re.ASCII)  # matches: 2516_8  1011_{2}
_LETTER = re.compile(r"\\[a-z]+|[A-Za-z]")
_LETTERS = re.compile(r"[A-Za-z]+")
_INFINITE = re.compile(r"[+-]?\\infty")

# A word.  matches: sheep, but not \\sqrt
_WORD = re.compile(r"(?<![\\A-Za-z])[A-Za-z]{3,}")

# A unit after a number. matches: \text{ cm}^2  \mbox{ inches}^2
_UNIT = re.compile(r"(?<=[\d}])\s?\\(?:text|mbox|mathrm)\{\s?([A-Za-z]+)\}(?:\^\{?[23]\}?)?\Z")
_DEGREES = re.compile(r"\^\{?\\circ\}?")
_FUNCTION = re.compile(r"\\(?:sin|cos|tan|cot|sec|csc)")

# Words that mean a number, and so are more than the product of their letters.
_NUMBER_WORDS = set(MULTIPLES) | {
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"),
    *("eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen"),
    *("nineteen", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"),
    *("half", "third", "quarter", "single", "pair", "both", "once", "twice"),
    *("no", "none", "nothing", "infinity", "infinite", "undefined"),
}


@dataclass(frozen=True)
class _Element:
    """A number of an answer, or a formula in it.

    Attributes:
        readings: its values; more than one if the text has several readings.
        letters: the letters in it.
    """

    readings: tuple[Values, ...]
    letters: frozenset[str] = frozenset()


@dataclass(frozen=True)
class _Estimate:
    """The elements of an answer.

    Attributes:
        is_equation: whether a letter stands for them, as in `y = 2x + 3`.
        is_unsolved: whether they are the sides of any other equation.
    """

    elements: tuple[_Element, ...]
    is_equation: bool = False
    is_unsolved: bool = False


def is_understood(text: str) -> bool:
    """Whether the numbers in a text are known, so that no other reader has to be asked."""
    return read_value(text) is not None or _estimate(text) is not None


def clearly_differ(a: str, b: str) -> bool:
    """Whether two texts that `normalize` returned cannot be the same answer."""
    first = _estimate(a)
    second = _estimate(b)
    if first is None or second is None:
        return False
    # x = y + 1 and y = x - 1 are the same.
    both = (*first.elements, *second.elements)
    are_equations = first.is_equation and second.is_equation
    if are_equations and any(element.letters for element in both):
        return False
    if first.is_unsolved or second.is_unsolved:
        return _differs_from_equation(first, second) or _differs_from_equation(second, first)
    return _lacks(first, second) or _lacks(second, first)


def _differs_from_equation(equation: _Estimate, other: _Estimate) -> bool:
    """Whether `other` is one formula that is neither side of the equation."""
    is_formula = len(other.elements) == 1 and not other.is_equation
    return equation.is_unsolved and is_formula and _lacks(equation, other)


def _lacks(a: _Estimate, b: _Estimate) -> bool:
    """Whether an element of `b` is none of `a`."""
    return any(all(_differ(x, y) for x in a.elements) for y in b.elements)


def _differ(a: _Element, b: _Element) -> bool:
    """Whether no reading of the one is a reading of the other."""
    for x in a.readings:
        for y in b.readings:
            # At the first point letters are 1: if the letters differ, some may be units.
            as_units, *elsewhere = (_are_far(p, q) for p, q in zip(x, y, strict=True))
            if not any(elsewhere) or (a.letters != b.letters and not as_units):
                return False
    return True


def _are_far(x: complex, y: complex) -> bool:
    size = max(abs(x), abs(y))
    rounding = min(_MAX_ROUNDING, size * _MAX_RELATIVE_ROUNDING)
    return abs(x - y) > max(rounding, size * _MAX_FLOAT_ERROR)


@lru_cache(maxsize=65536)
def _estimate(text: str) -> _Estimate | None:
    """The elements of an answer; `None` if it is not understood."""
    if len(text) > _MAX_CHARACTERS:
        return None
    if any(word.lower() in _NUMBER_WORDS for word in _LETTERS.findall(text)):
        return None
    try:
        # Notations that only look like formulas come first, then what is exact already.
        based = _BASED.fullmatch(text)
        if based:
            return _Estimate((_read_based(based[1], int(based[2])),))
        value = read_value(text)
        if value is not None:
            return _Estimate(tuple(_elements_of(value)))
        return _read(text)
    except Unparsable:
        return None


def _read_based(digits: str, base: int) -> _Element:
    """A numeral of another base, which may also be compared by its digits."""
    if not 2 <= base <= 10 or int(max(digits)) >= base:
        raise Unparsable
    return _Element((evaluate(digits), evaluate(str(int(digits, base)))))


def _elements_of(value: Number | Polynomial | ValueCollection) -> list[_Element]:
    """The elements of what exact arithmetic has read."""
    if isinstance(value, ValueCollection):
        return [element for part in value.parts for element in _elements_of(part)]
    if isinstance(value, Number):
        number = constant(value.value)
        if value.percent:  # 9% may mean 9 or 0.09
            return [_Element((number, constant(value.value / 100)))]
        return [_Element((number,))]
    names = {name for _, powers in value.terms for name, _ in powers}
    if r"\infty" in names:
        return []
    return [_Element((evaluate_sum(value.terms),), frozenset(value.letters))]


def _read(text: str) -> _Estimate:
    """Takes an answer apart: `x = `, unions, brackets, lists, relations."""
    # What stands in front or around it, and relations …
    text = _MEMBER.sub("", text, count=1) if _MEMBER.match(text) else text
    matrix = _MATRIX.fullmatch(text)
    if matrix:
        return _Estimate(tuple(_join(_CELL_ENDS.split(matrix[1]))))
    if "=" in text:
        return _read_equation(text)
    if _COMPARED.search(text):
        return _Estimate(tuple(_join(_bounds(_COMPARED.split(text)))))
    # … then the parts of a union or list, and theirs.
    elements = []
    parts = _UNION.split(text)
    for part in parts:
        match = _BRACKETS.fullmatch(part) or _SET.fullmatch(part)
        inner = match[1] if match else part
        if len(parts) == 1 and _THOUSANDS.search(inner):
            raise Unparsable
        elements += _join(inner.split(","))
    return _Estimate(tuple(elements))


def _read_equation(text: str) -> _Estimate:
    """What a letter equals, as in `f(x) = 2x + 3`, or the sides of another equation."""
    name, _, value = text.partition("=")
    if "=" in value or "," in text or _COMPARED.search(text):
        raise Unparsable
    if _NAMED.fullmatch(name.strip()):
        return _Estimate(tuple(_join([value])), is_equation=True)
    return _Estimate(tuple(_join([name, value])), is_equation=True, is_unsolved=True)


def _bounds(sides: list[str]) -> list[str]:
    """The bounds of a letter: 1 and 2 in `1 < x < 2`."""
    bounds = [side.strip() for side in sides if not re.fullmatch(r"[A-Za-z]", side.strip())]
    if len(bounds) == len(sides) or any(_LETTER.search(side) for side in bounds):
        raise Unparsable
    return bounds


def _join(texts: list[str]) -> list[_Element]:
    return [element for text in texts for element in _read_elements(text.strip())]


def _read_elements(text: str) -> list[_Element]:
    """One formula, of which a sign for plus and minus makes two."""
    if _INFINITE.fullmatch(text):
        return []
    # A free constant may absorb any difference.
    if re.search(r"\+\s*[CcKk]\Z", text):
        raise Unparsable
    if text.count(r"\pm") == 1:
        return _read_elements(text.replace(r"\pm", "+")) + _read_elements(text.replace(r"\pm", "-"))
    number = parse_number(text)
    if number is not None:
        return _elements_of(number)
    unit = _UNIT.search(text)
    if unit and len(unit[1]) > 1 and unit[1] not in _NUMBER_WORDS:
        text = text[: unit.start()]
    # Degrees count as a unit, except for a function of them.
    if not _FUNCTION.search(text):
        text = _DEGREES.sub("", text)
    # A word may be a unit, or a product of its letters; e and i are letters in it like any other.
    text = _WORD.sub(lambda word: word[0].upper(), text)
    # Commands are no letters, except for Greek ones.
    commands = {r"\pi", r"\frac", r"\sqrt", r"\cdot", r"\times", r"\binom", r"\dbinom"}
    letters = frozenset(_LETTER.findall(text)) - commands - {"e", "i"}
    return [_Element((evaluate(text),), letters)]
