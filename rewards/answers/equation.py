r"""Reads equations: `x = 7` answers 7, but `3x = 7` does not, and `6 = 7` answers nothing."""

import re

from rewards.answers.compare import DIFFERENT, compare
from rewards.answers.normalize import normalize
from rewards.answers.sentence import DENIAL

# Between the sides of an equation.
_EQUALS = re.compile(r"=|(\\approx)(?![A-Za-z])|(\u2248)")
_FUNCTION = r"\\(?:a?(?:sin|cos|tan)|sec|csc|cot|log|ln|lg|exp|sqrt|frac|lim|int|sum|prod|binom)"
_NAME = re.compile(
    rf"(?!{_FUNCTION})(?:"
    r"\\?[A-Za-z]+'{0,2}(?:_\{?\w{1,9}\}?)?(?:\([^()=]{1,30}\))?"  # x  x_1  \theta  f(2)
    r"|\|[A-Z]{2}\||m?\\(?:angle|overline|triangle) ?\{?[A-Z]{1,4}\}?"  # |AB|  \angle ABC
    r"|[A-Za-z]\(-?\d{1,9}\)(?:[+-][A-Za-z]\(-?\d{1,9}\)){1,9}"  # f(1)+f(2)
    r"|[A-Z]\w{0,9}:[A-Z]\w{0,9}"  # A:B
    r"|\\text ?\{[A-Za-z ]{1,60}\}|[A-Za-z]{2,30}(?: [A-Za-z]{1,30}){1,9}"  # total cost
    r")"
)
_PRODUCT = re.compile(r"[a-z]{2}")  # matches: xy
_LETTER = re.compile(r"(?<![A-Za-z\\])[A-Za-z]|\\(?!frac|sqrt|cdot|times|pi|div)[A-Za-z]+")


def is_name(side: str) -> bool:
    """Whether it only names a value: an unknown, or words."""
    has_form = _NAME.fullmatch(side) and not _PRODUCT.fullmatch(side)
    return bool(has_form) and not DENIAL.search(side)


def value_of_equation(text: str, gold_name: str) -> str | None:
    """The right side of `x = 7`; `None` for equations such as `3x = 7`, and for false ones."""
    signs = [match[0] for match in _EQUALS.finditer(text)]
    if not signs:
        return text
    sides = [side.strip() for side in _EQUALS.split(text)[::3]]
    # Names come first, then calculations.
    if gold_name and len(sides) == 2 and _names_differ(gold_name, sides[0]):
        return None
    first = 0
    while first < len(sides) - 1 and is_name(sides[first]):
        first += 1
    calculations = sides[first:]
    if any(_LETTER.search(side) for side in calculations[:-1]):
        return None
    # What stands before the first `\approx` is exact, and says what is meant.
    for index, sign in enumerate(signs[first:], start=1):
        if sign != "=":
            calculations = calculations[:index]
            break
    value = calculations[-1]
    if any(compare(normalize(value), normalize(side)) is DIFFERENT for side in calculations[:-1]):
        return None
    return value


def _names_differ(a: str, b: str) -> bool:
    """Whether they are different single letters."""
    return len(a) == len(b) == 1 and a.isalpha() and b.isalpha() and a != b
