"""Parses formulas exactly: enough algebra to spare math-verify most LaTeX answers.

    (x+1)^2   2\\sqrt{3}   \\frac{1}{2}\\pi   3x^{-1} - 0.5

A formula becomes a sum of terms (sums.py). Any other text, and any that has two readings, is
rejected with `Unparsable`. The same parser calculates with floats for estimate.py.
"""

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from rewards.answers import sums
from rewards.answers.sums import Sum, Unparsable

TOKEN = re.compile(
    r"""
    \s?
    (
        \d+\.\d+ | \d+ | \.\d+       # matches: 3.5  72  .5
        | \\[a-zA-Z]+                # matches: \frac  \pi
        | [a-zA-Z+\-*/^(){}]         # matches: x  +  ^
    )
    """,
    re.VERBOSE,
)
_TWO_WORDS = re.compile(r"[A-Za-z] +[A-Za-z]")  # matches: `a b`

_TIMES = ("*", r"\cdot", r"\times")
_CONSTANTS = (r"\pi", r"\infty")
_CLOSING = {"(": ")", "{": "}"}

# Infinity is accepted only by itself, because it is no number to calculate with.
_INFINITIES = ([r"\infty"], ["+", r"\infty"], ["-", r"\infty"])

# Limits on what is parsed: longer or deeper texts go to a worker process.
_MAX_CHARACTERS = 200
_MAX_DEPTH = 12  # of brackets


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
        """Whether it is a single term with variables and no root, such as `x` or `2\\pi`."""
        return len(self.terms) == 1 and all(root == 1 and powers for root, powers in self.terms)


def parse_polynomial(text: str) -> Polynomial:
    """Parses a formula; raises `Unparsable` for any other text."""
    is_word = len(text) > 1 and text.isalpha()  # not a product of its letters
    if len(text) > _MAX_CHARACTERS or is_word:
        raise Unparsable
    tokens = TOKEN.findall(text)
    if TOKEN.sub("", text) or _TWO_WORDS.search(text):
        raise Unparsable
    if r"\infty" in tokens and tokens not in _INFINITIES:
        raise Unparsable
    return Polynomial(Parser(tokens, sums).parse(), any("." in token for token in tokens))


class Parser:
    """Parses one formula by recursive descent: a sum of products of powers of atoms.

    Parameters:
        arithmetic: what calculates with the parts: the module `sums`, or one with the same
            functions for another kind of value.
    """

    def __init__(self, tokens: list[str], arithmetic: Any) -> None:
        self.tokens = tokens
        self.arithmetic = arithmetic
        self.at = 0
        self.depth = 0

    @property
    def next(self) -> str | None:
        """The next token; `None` at the end."""
        return self.tokens[self.at] if self.at < len(self.tokens) else None

    def take(self, *allowed: str) -> str | None:
        """Consumes the next token if it is one of `allowed`, and returns it."""
        token = self.next
        if token is None or token not in allowed:
            return None
        self.at += 1
        return token

    def parse(self) -> Any:
        """The value of all tokens."""
        value = self.parse_sum()
        if self.next is not None:
            raise Unparsable
        return value

    def parse_sum(self) -> Any:
        """`-a + b - c`"""
        # Deep nesting would end in a RecursionError.
        self.depth += 1
        if self.depth > _MAX_DEPTH:
            raise Unparsable
        # The first sign is optional; every further term needs one.
        sign = self.take("+", "-")
        total = self.parse_signed_product(sign)
        while sign := self.take("+", "-"):
            total = self.arithmetic.add(total, self.parse_signed_product(sign))
        self.depth -= 1
        return total

    def parse_signed_product(self, sign: str | None) -> Any:
        product = self.parse_product()
        return self.arithmetic.negate(product) if sign == "-" else product

    def parse_product(self) -> Any:
        """`a * b / c`, or `ab` without a sign."""
        total = self.parse_power()
        is_divided = False
        while self.next not in (None, "+", "-", ")", "}"):
            if self.take(*_TIMES):
                total = self.arithmetic.multiply(total, self.parse_power())
            elif self.take("/"):
                divisor = self.arithmetic.invert(self.parse_power())
                total = self.arithmetic.multiply(total, divisor)
                is_divided = True
            # Juxtaposition is rejected where readers disagree on what it binds to.
            elif is_divided or self._has_two_readings():
                raise Unparsable  # also 1/2x
            else:
                total = self.arithmetic.multiply(total, self.parse_power())
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

    def parse_power(self) -> Any:
        """`a`, `a^2`, `a^{12}` or `a^{-12}`"""
        base = self.parse_atom()
        if not self.take("^"):
            return base
        exponent = self.parse_exponent()
        # x^2^3: is it (x^2)^3 or x^(2^3)?
        if self.next == "^":
            raise Unparsable
        if exponent < 0:
            return self.arithmetic.invert(self.arithmetic.power(base, -exponent))
        return self.arithmetic.power(base, exponent)

    def parse_exponent(self) -> int:
        """An integer, in braces if it has a sign or several digits."""
        braces = self.take("{")
        is_negative = braces and self.take("-")
        digits = self.next or ""
        self.at += 1
        if not digits.isdigit():
            raise Unparsable
        if len(digits) > 1 and not braces:  # x^12 is x^1 2 in LaTeX
            raise Unparsable
        if braces and not self.take("}"):
            raise Unparsable
        return -int(digits) if is_negative else int(digits)

    def parse_atom(self) -> Any:
        """A number, a variable, a bracket, a fraction or a root."""
        token = self.next
        if token is None:
            raise Unparsable
        self.at += 1
        if token[-1].isdigit():
            return self.arithmetic.constant(Fraction(token))
        # A variable, or a constant that is treated like one.
        if token.isalpha() or token in _CONSTANTS:
            return self.arithmetic.variable(token)
        # A sum in brackets.
        if token in _CLOSING:
            inner = self.parse_sum()
            if not self.take(_CLOSING[token]):
                raise Unparsable
            return inner
        # The two commands with arguments.
        if token == r"\frac":
            numerator = self.parse_argument()
            divisor = self.arithmetic.invert(self.parse_argument())
            return self.arithmetic.multiply(numerator, divisor)
        if token == r"\sqrt":
            return self.arithmetic.square_root(self.parse_argument())
        return self.parse_command(token)

    def parse_command(self, token: str) -> Any:
        """Any other command with what belongs to it; none is read here."""
        raise Unparsable

    def parse_argument(self) -> Any:
        """The argument of \\frac or \\sqrt: a sum in braces, or one digit."""
        token = self.next or ""
        # \frac12 takes one digit for each argument.
        if token.isdigit():
            self.tokens[self.at : self.at + 1] = list(token)
        elif token != "{":
            raise Unparsable
        return self.parse_atom()
