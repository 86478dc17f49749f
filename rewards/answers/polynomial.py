"""Which formula is this text, exactly? Enough algebra to spare math-verify most LaTeX answers, at a hundredth of its cost.

A formula is a sum of terms `c * sqrt(r) * x^a * y^b ...` with rational c and square-free whole r. Written so, two formulas are
equal if and only if their terms are: different roots and powers are linearly independent over the rationals. Whatever is not such
a sum, or could be read in two ways, is not read at all.
"""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

# The root and the powers of a term, and its coefficient.
Term = tuple[int, tuple[tuple[str, int], ...]]
Sum = dict[Term, Fraction]
ONE: Term = (1, ())

_TOKEN = re.compile(r"\s*(\d+\.\d+|\d+|\.\d+|\\[a-zA-Z]+|[a-zA-Z+\-*/^(){}])")
_TIMES = ("*", r"\cdot", r"\times")
_MAX_CHARACTERS, _MAX_DEPTH, _MAX_TERMS, _MAX_BITS, _MAX_POWER, _MAX_ROOT = (
    200,
    12,
    64,
    4000,
    12,
    10**8,
)


class Unparsable(Exception):
    """The text is not a formula of this kind, or could be read in two ways."""


@dataclass(frozen=True)
class Polynomial:
    """The terms of a formula, and whether a number in it was written as a decimal (and so may be rounded)."""

    terms: Sum
    decimal: bool

    @property
    def letters(self) -> set[str]:
        """The variables in it."""
        return {name for _, powers in self.terms for name, _ in powers if name.isalpha()}

    @property
    def symbol(self) -> bool:
        """Whether it is one letter or another single symbol."""
        return len(self.terms) == 1 and all(root == 1 and powers for root, powers in self.terms)


def parse_polynomial(text: str) -> Polynomial:
    """Reads a text. Raises `Unread`."""
    if len(text) > _MAX_CHARACTERS or (
        len(text) > 1 and text.isalpha()
    ):  # a word is not a product of its letters
        raise Unparsable
    tokens = _TOKEN.findall(text)
    if _TOKEN.sub("", text) or re.search(r"[A-Za-z] +[A-Za-z]", text):
        raise Unparsable
    if r"\infty" in tokens and tokens not in ([r"\infty"], ["+", r"\infty"], ["-", r"\infty"]):
        raise Unparsable  # infinity is no number to calculate with
    reader = _Reader(tokens)
    terms = reader.sum()
    if reader.next is not None:
        raise Unparsable
    return Polynomial(terms, any("." in token for token in tokens))


class _Reader:
    """A reader of one formula by recursive descent."""

    def __init__(self, tokens: list[str]) -> None:
        self.tokens, self.at, self.depth = tokens, 0, 0

    @property
    def next(self) -> str | None:
        return self.tokens[self.at] if self.at < len(self.tokens) else None

    def take(self, *allowed: str) -> str | None:
        if self.next is None or self.next not in allowed:
            return None
        self.at += 1
        return self.tokens[self.at - 1]

    def sum(self) -> Sum:
        self.depth += 1
        if self.depth > _MAX_DEPTH:
            raise Unparsable
        sign = self.take("+", "-")
        total = self.product()
        total = _scaled(total, -1) if sign == "-" else total
        while sign := self.take("+", "-"):
            total = _added(total, _scaled(self.product(), -1 if sign == "-" else 1))
        self.depth -= 1
        return total

    def product(self) -> Sum:
        total, divided = self.power(), False
        while True:
            if self.take(*_TIMES):
                total = _multiplied(total, self.power())
            elif self.take("/"):
                total, divided = _multiplied(total, _inverse(self.power())), True
            elif self.next is None or self.next in ("+", "-", ")", "}"):
                return total
            else:
                before = self.tokens[self.at - 1]
                # 1/2x, x2 or 2 3, f(x), and the mixed number 1\frac{1}{2} can be read in two ways.
                mixed = (before[-1].isdigit() or before == "}") and self.next in (r"\frac", "{")
                two_ways = mixed or (before.isalpha() and self.next == "(")
                if divided or two_ways or self.next[-1].isdigit():
                    raise Unparsable
                total = _multiplied(total, self.power())

    def power(self) -> Sum:
        base = self.atom()
        if not self.take("^"):
            return base
        braces = self.take("{")
        negative = braces and self.take("-")
        exponent = self.next or ""
        self.at += 1
        if (
            not exponent.isdigit()
            or (len(exponent) > 1 and not braces)
            or (braces and not self.take("}"))
        ):
            raise Unparsable
        if self.next == "^":
            raise Unparsable
        total = _power(base, int(exponent))
        return _inverse(total) if negative else total

    def atom(self) -> Sum:
        token = self.next
        if token is None:
            raise Unparsable
        self.at += 1
        if token[-1].isdigit():
            return {ONE: Fraction(token)} if Fraction(token) else {}
        if token in (r"\pi", r"\infty") or (
            token.isalpha() and token not in "ei"
        ):  # e and i are numbers, of another kind
            return {(1, ((token, 1),)): Fraction(1)}
        if token in ("(", "{"):
            inner = self.sum()
            if not self.take(")" if token == "(" else "}"):
                raise Unparsable
            return inner
        if token == r"\frac":
            return _multiplied(self.argument(), _inverse(self.argument()))
        if token == r"\sqrt":
            return _root(self.argument())
        raise Unparsable

    def argument(self) -> Sum:
        token = self.next or ""
        if token.isdigit():  # \frac12 takes one digit after the other
            self.tokens[self.at : self.at + 1] = list(token)
        elif token != "{":
            raise Unparsable
        return self.atom()


def _added(a: Sum, b: Sum) -> Sum:
    total = dict(a)
    for term, coefficient in b.items():
        total[term] = total.get(term, Fraction(0)) + coefficient
    return _checked({term: coefficient for term, coefficient in total.items() if coefficient})


def _scaled(a: Sum, factor: int) -> Sum:
    return {term: coefficient * factor for term, coefficient in a.items()}


def _multiplied(a: Sum, b: Sum) -> Sum:
    total: Sum = {}
    for (root_a, powers_a), c in a.items():
        for (root_b, powers_b), d in b.items():
            common = math.gcd(root_a, root_b)
            powers = dict(powers_a)
            for name, power in powers_b:
                powers[name] = powers.get(name, 0) + power
            term = (
                root_a * root_b // common**2,
                tuple(sorted((name, power) for name, power in powers.items() if power)),
            )
            total[term] = total.get(term, Fraction(0)) + c * d * common
    return _checked({term: coefficient for term, coefficient in total.items() if coefficient})


def _power(a: Sum, n: int) -> Sum:
    if (
        set(a) == {ONE}
        and n * max(a[ONE].numerator.bit_length(), a[ONE].denominator.bit_length()) <= _MAX_BITS
    ):
        return {ONE: a[ONE] ** n}
    if n > _MAX_POWER:
        raise Unparsable
    total: Sum = {ONE: Fraction(1)}
    for _ in range(n):
        total = _multiplied(total, a)
    return total


def _inverse(a: Sum) -> Sum:
    if len(a) != 1:
        raise Unparsable  # 1/0, or 1/(1+x)
    ((root, powers), coefficient) = next(iter(a.items()))
    return {(root, tuple((name, -power) for name, power in powers)): 1 / (coefficient * root)}


def _root(a: Sum) -> Sum:
    if not a:
        return {}
    value = a.get(ONE, Fraction(-1))
    inside = value.numerator * value.denominator  # sqrt(p/q) is sqrt(p*q)/q
    if len(a) != 1 or not 0 < inside < _MAX_ROOT:
        raise Unparsable
    outside, factor = 1, 2
    while factor * factor <= inside:
        while inside % (factor * factor) == 0:
            inside //= factor * factor
            outside *= factor
        factor += 1
    return {(inside, ()): Fraction(outside, value.denominator)}


def _checked(a: Sum) -> Sum:
    bits: Callable[[int], int] = int.bit_length
    if len(a) > _MAX_TERMS or any(
        max(bits(c.numerator), bits(c.denominator)) > _MAX_BITS for c in a.values()
    ):
        raise Unparsable
    return a
