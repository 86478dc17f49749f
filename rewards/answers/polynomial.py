"""Reads formulas exactly: enough algebra to spare math-verify most LaTeX answers, at 1 % of its cost.

A formula is a sum of terms `c * sqrt(r) * x^a * y^b ...` with rational c and square-free integer r.
In this form two formulas are equal if and only if their terms are: different roots and powers are
linearly independent over the rationals. Anything else, and anything that could be read in two ways,
is not read at all.
"""

import math
import re
from dataclasses import dataclass
from fractions import Fraction

# The root and the powers of a term, and its coefficient.
Term = tuple[int, tuple[tuple[str, int], ...]]
Sum = dict[Term, Fraction]
ONE: Term = (1, ())

# matches: 3.5  72  .5  \\frac  x  +  ^
_TOKEN = re.compile(r"\s*(\d+\.\d+|\d+|\.\d+|\\[a-zA-Z]+|[a-zA-Z+\-*/^(){}])")
_TIMES = ("*", r"\cdot", r"\times")
_TWO_WORDS = re.compile(r"[A-Za-z] +[A-Za-z]")  # matches: the space in `a b`

# Limits on what is read: beyond them the text goes to a worker process.
_MAX_CHARACTERS = 200
_MAX_DEPTH = 12  # of brackets
_MAX_TERMS = 64
_MAX_BITS = 4000  # of a numerator or denominator
_MAX_POWER = 12  # of a sum
_MAX_ROOT = 10**8  # the number under a root


class Unparsable(Exception):
    """The text is not a formula of this kind, or could be read in two ways."""


@dataclass(frozen=True)
class Polynomial:
    """The terms of a formula.

    Attributes:
        decimal: whether a number in it was written as a decimal, and so may be rounded.
    """

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
    """Reads a formula; raises `Unparsable` if the text is none."""
    is_word = len(text) > 1 and text.isalpha()  # not a product of its letters
    if len(text) > _MAX_CHARACTERS or is_word:
        raise Unparsable
    tokens = _TOKEN.findall(text)
    if _TOKEN.sub("", text) or _TWO_WORDS.search(text):
        raise Unparsable
    # Infinity stands alone: it is not a number to calculate with.
    if r"\infty" in tokens and tokens not in ([r"\infty"], ["+", r"\infty"], ["-", r"\infty"]):
        raise Unparsable
    reader = _Reader(tokens)
    terms = reader.sum()
    if reader.next is not None:
        raise Unparsable
    return Polynomial(terms, any("." in token for token in tokens))


class _Reader:
    """Reads one formula by recursive descent: a sum of products of powers of atoms."""

    def __init__(self, tokens: list[str]) -> None:
        self.tokens = tokens
        self.at = 0
        self.depth = 0

    @property
    def next(self) -> str | None:
        """The next token; `None` at the end."""
        return self.tokens[self.at] if self.at < len(self.tokens) else None

    def take(self, *allowed: str) -> str | None:
        """Consumes the next token if it is one of `allowed`, and returns it."""
        if self.next is None or self.next not in allowed:
            return None
        self.at += 1
        return self.tokens[self.at - 1]

    def sum(self) -> Sum:
        """`-a + b - c`"""
        # Deep nesting would end in a RecursionError.
        self.depth += 1
        if self.depth > _MAX_DEPTH:
            raise Unparsable
        sign = self.take("+", "-")
        total = self._signed_product(sign)
        while sign := self.take("+", "-"):
            total = _added(total, self._signed_product(sign))
        self.depth -= 1
        return total

    def _signed_product(self, sign: str | None) -> Sum:
        product = self.product()
        return _scaled(product, -1) if sign == "-" else product

    def product(self) -> Sum:
        """`a * b / c`, or `ab` without a sign."""
        total = self.power()
        is_divided = False
        while self.next is not None and self.next not in ("+", "-", ")", "}"):
            if self.take(*_TIMES):
                total = _multiplied(total, self.power())
            elif self.take("/"):
                total = _multiplied(total, _inverse(self.power()))
                is_divided = True
            # Juxtaposition is refused where readers disagree on what it binds to.
            elif is_divided or self._has_two_readings():
                raise Unparsable  # also 1/2x
            else:
                total = _multiplied(total, self.power())
        return total

    def _has_two_readings(self) -> bool:
        """Whether two factors without a sign between them could mean something else."""
        before = self.tokens[self.at - 1]
        after = self.next or ""
        if after[-1].isdigit():  # x2, or 2 3
            return True
        if before.isalpha() and after == "(":  # f(x)
            return True
        ends_number = before[-1].isdigit() or before == "}"
        return ends_number and after in (r"\frac", "{")  # the mixed number 1\frac{1}{2}

    def power(self) -> Sum:
        """`a^2`, `a^{-12}`"""
        base = self.atom()
        if not self.take("^"):
            return base
        # x^2, x^{2} and x^{-2}, nothing else.
        braces = self.take("{")
        negative = braces and self.take("-")
        exponent = self.next or ""
        self.at += 1
        if not exponent.isdigit():
            raise Unparsable
        if len(exponent) > 1 and not braces:  # x^12 is x^1 2 in LaTeX
            raise Unparsable
        if braces and not self.take("}"):
            raise Unparsable
        # x^2^3: is it (x^2)^3 or x^(2^3)?
        if self.next == "^":
            raise Unparsable
        total = _power(base, int(exponent))
        return _inverse(total) if negative else total

    def atom(self) -> Sum:
        """A number, a variable, a bracket, a fraction or a root."""
        token = self.next
        if token is None:
            raise Unparsable
        self.at += 1
        # A number; zero has no term.
        if token[-1].isdigit():
            return {ONE: Fraction(token)} if Fraction(token) else {}
        # A variable, or a constant that is treated like one.
        is_variable = token.isalpha() and token not in "ei"  # e and i are numbers of another kind
        if is_variable or token in (r"\pi", r"\infty"):
            return {(1, ((token, 1),)): Fraction(1)}
        # A sum in brackets.
        if token in ("(", "{"):
            inner = self.sum()
            if not self.take(")" if token == "(" else "}"):
                raise Unparsable
            return inner
        # The two commands with arguments.
        if token == r"\frac":
            return _multiplied(self.argument(), _inverse(self.argument()))
        if token == r"\sqrt":
            return _root(self.argument())
        raise Unparsable

    def argument(self) -> Sum:
        """What follows \\frac or \\sqrt: in braces, or one digit."""
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
    # Every term with every term.
    for (root_a, powers_a), c in a.items():
        for (root_b, powers_b), d in b.items():
            # sqrt(a) * sqrt(b) = g * sqrt(a*b/g^2), with g their common divisor.
            common = math.gcd(root_a, root_b)
            # Exponents of the same variable add up; those that cancel go.
            powers = dict(powers_a)
            for name, power in powers_b:
                powers[name] = powers.get(name, 0) + power
            left = sorted((name, power) for name, power in powers.items() if power)
            term = (root_a * root_b // common**2, tuple(left))
            total[term] = total.get(term, Fraction(0)) + c * d * common
    return _checked({term: coefficient for term, coefficient in total.items() if coefficient})


def _power(a: Sum, n: int) -> Sum:
    if set(a) == {ONE} and n * _bits(a[ONE]) <= _MAX_BITS:
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
    # 1/sqrt(r) is sqrt(r)/r.
    ((root, powers), coefficient) = next(iter(a.items()))
    return {(root, tuple((name, -power) for name, power in powers)): 1 / (coefficient * root)}


def _root(a: Sum) -> Sum:
    if not a:
        return {}
    value = a.get(ONE, Fraction(-1))
    inside = value.numerator * value.denominator  # sqrt(p/q) is sqrt(p*q)/q
    if len(a) != 1 or not 0 < inside < _MAX_ROOT:
        raise Unparsable

    # Take square factors out of the root.
    outside = 1
    factor = 2
    while factor * factor <= inside:
        while inside % (factor * factor) == 0:
            inside //= factor * factor
            outside *= factor
        factor += 1
    return {(inside, ()): Fraction(outside, value.denominator)}


def _checked(a: Sum) -> Sum:
    """`a`, if it is within the limits."""
    if len(a) > _MAX_TERMS or any(_bits(value) > _MAX_BITS for value in a.values()):
        raise Unparsable
    return a


def _bits(value: Fraction) -> int:
    return max(value.numerator.bit_length(), value.denominator.bit_length())
