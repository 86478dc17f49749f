"""Evaluates formulas in floating point, with their letters at fixed values.

A formula becomes its values at three points: formulas that differ have other values at one. At the
first point every letter is 1: there a letter that is a unit does not count.
"""

import cmath
import math
import re
import sys
from collections.abc import Callable
from fractions import Fraction

from rewards.answers.polynomial import TOKEN, Parser
from rewards.answers.sums import Sum, Unparsable

Values = tuple[complex, complex, complex]

# Beyond these a float may have lost the digits that matter.
_MAX_SIZE = 1e100
_MAX_EXPONENT = 200.0
_LOST_DIGITS = 1e-6  # of what a sum cancels
_ABSORBED = 1e-10  # of what a sum swallows
_MIN_FUNCTION_VALUE = 1e-9  # sin(pi) is no zero in floats

_MAX_CHARACTERS = 200
_MAX_BINOMIAL = 50

_GREEK = (r"\alpha", r"\beta", r"\gamma", r"\theta", r"\lambda", r"\phi", r"\omega")

_FUNCTIONS: dict[str, Callable[[complex], complex]] = {
    r"\sin": cmath.sin,
    r"\cos": cmath.cos,
    r"\tan": cmath.tan,
    r"\cot": lambda x: 1 / cmath.tan(x),
    r"\sec": lambda x: 1 / cmath.cos(x),
    r"\csc": lambda x: 1 / cmath.sin(x),
    r"\ln": cmath.log,
}


def evaluate(text: str) -> Values:
    """The values of a formula; raises `Unparsable` for any other text, and for one too large."""
    if len(text) > _MAX_CHARACTERS:
        raise Unparsable
    tokens = TOKEN.findall(text)
    if TOKEN.sub("", text):
        raise Unparsable
    try:
        return _FloatParser(tokens, sys.modules[__name__]).parse()
    except (ArithmeticError, ValueError) as error:
        raise Unparsable from error


def evaluate_sum(terms: Sum) -> Values:
    """The values of an exact formula."""
    total = constant(Fraction(0))
    for (root, powers), coefficient in terms.items():
        term = multiply(constant(coefficient), square_root(constant(Fraction(root))))
        for name, exponent in powers:
            term = multiply(term, raise_to(variable(name), constant(Fraction(exponent))))
        total = add(total, term)
    return total


def constant(value: Fraction) -> Values:
    """A number, the same at every point."""
    try:
        number = complex(float(value))
    except OverflowError as error:
        raise Unparsable from error
    return _checked(number, number, number)


def variable(name: str) -> Values:
    """A letter, or a constant that is written as one."""
    if name in _CONSTANTS:
        return (_CONSTANTS[name],) * 3
    if name == r"\infty":
        raise Unparsable
    # Any numbers will do, if only every name has its own.
    seed = int.from_bytes(name.encode(), "big")
    return 1, 1.1 + seed * 0.6180339887 % 1, 1.3 + seed * 0.4142135623 % 1


_CONSTANTS: dict[str, complex] = {r"\pi": math.pi, "e": math.e, "i": 1j}


def add(a: Values, b: Values) -> Values:
    return _checked(*map(_add, a, b))


def _add(x: complex, y: complex) -> complex:
    """`x + y`, if enough of its digits are right."""
    total = x + y
    sizes = sorted([abs(x), abs(y)])
    is_absorbed = 0 < sizes[0] < sizes[1] * _ABSORBED
    is_cancelled = 0 < abs(total) < sizes[1] * _LOST_DIGITS
    if is_absorbed or is_cancelled:
        raise Unparsable
    return total


def negate(a: Values) -> Values:
    return -a[0], -a[1], -a[2]


def multiply(a: Values, b: Values) -> Values:
    return _checked(a[0] * b[0], a[1] * b[1], a[2] * b[2])


def invert(a: Values) -> Values:
    if 0 in a:
        raise Unparsable
    return _checked(1 / a[0], 1 / a[1], 1 / a[2])


def square_root(a: Values) -> Values:
    return cmath.sqrt(a[0]), cmath.sqrt(a[1]), cmath.sqrt(a[2])


def power(a: Values, exponent: int) -> Values:
    return raise_to(a, constant(Fraction(exponent)))


def raise_to(a: Values, exponent: Values) -> Values:
    """`a` to the power of anything."""
    if max(map(abs, exponent)) > _MAX_EXPONENT:
        raise Unparsable
    try:
        return _checked(*(x**y for x, y in zip(a, exponent, strict=True)))
    except ArithmeticError as error:
        raise Unparsable from error


def _checked(*values: complex) -> Values:
    """The values, if floats can hold them with all their digits."""
    for value in values:
        if not abs(value) < _MAX_SIZE:  # also NaN
            raise Unparsable
    return values  # type: ignore[return-value]


class _FloatParser(Parser):
    """Reads more than exact arithmetic can: any exponent, functions, binomials, Greek letters."""

    def parse_power(self) -> Values:
        """`a`, `a^2` or `a^{x+1}`"""
        base: Values = self.parse_atom()
        if not self.take("^"):
            return base
        token = self.next or ""
        # In LaTeX x^12 is x^1 2, and x^2^3 is an error.
        if len(token) > 1 and not token.startswith("\\"):
            raise Unparsable
        exponent = self.parse_atom()
        if self.next == "^":
            raise Unparsable
        return raise_to(base, exponent)

    def parse_command(self, token: str) -> Values:
        """A function of one argument, a binomial, or a Greek letter."""
        if token in _GREEK:
            return variable(token)
        if token in (r"\binom", r"\dbinom"):
            return self._parse_binomial()
        if token not in _FUNCTIONS:
            raise Unparsable
        # \sin^2 x is a power of the value; \sin^{-1} x has two readings.
        exponent = constant(Fraction(1))
        if self.take("^"):
            if not re.fullmatch("[2-9]", self.next or ""):
                raise Unparsable
            exponent = self.parse_atom()
        values = [_apply(_FUNCTIONS[token], value) for value in self._parse_function_argument()]
        return raise_to(_checked(*values), exponent)

    def _parse_function_argument(self) -> Values:
        """`(x+1)`, `{x}` or `2x`; refused where readers disagree on what belongs to it."""
        is_bracketed = self.next in ("(", "{")
        argument: Values = self.parse_atom() if is_bracketed else self.parse_power()
        while not is_bracketed and self.next and (self.next.isalpha() or self.next == r"\pi"):
            argument = multiply(argument, self.parse_power())
        # \sin x/2, \sin(x)^2, \sin x \cdot 2
        if self.next not in (None, "+", "-", ")", "}"):
            raise Unparsable
        return argument

    def _parse_binomial(self) -> Values:
        r"""`\binom{n}{2}` for a small number below."""
        above: Values = self.parse_argument()
        below: Values = self.parse_argument()
        chosen = below[0].real
        if len(set(below)) > 1 or chosen not in range(_MAX_BINOMIAL):
            raise Unparsable
        total = constant(Fraction(1))
        for step in range(int(chosen)):
            factor = add(above, constant(Fraction(-step)))
            total = multiply(total, multiply(factor, constant(Fraction(1, step + 1))))
        return total


def _apply(function: Callable[[complex], complex], argument: complex) -> complex:
    value = function(argument)
    # Near a zero or a pole the floats have only rounding errors to tell.
    if not _MIN_FUNCTION_VALUE < abs(value) < 1 / _MIN_FUNCTION_VALUE:
        raise Unparsable
    return value
