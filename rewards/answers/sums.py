"""Exact arithmetic with sums of terms `c * sqrt(r) * x^a * y^b ...`.

The coefficients c are rational, the integers r square-free. In this form two sums are equal if and
only if their terms are: different roots and powers are linearly independent over the rationals.
"""

import math
from fractions import Fraction

# Each variable of a term with its exponent, sorted by name.
Powers = tuple[tuple[str, int], ...]

# The number under the root of a term, and its powers. The term of a rational number is ONE.
Term = tuple[int, Powers]
ONE: Term = (1, ())

# The coefficient of each term; none of them is zero.
Sum = dict[Term, Fraction]

# Limits on what is calculated in the training process: beyond them an answer is left to a worker.
_MAX_TERMS = 64
_MAX_BITS = 4000  # of a numerator or denominator
_MAX_POWER = 12  # of a sum
_MAX_ROOT = 10**8  # the number under a root


class Unparsable(Exception):
    """The text is not a formula of this kind, has two readings, or exceeds a limit."""


def constant(value: Fraction) -> Sum:
    """A rational number; zero has no term."""
    return {ONE: value} if value else {}


def variable(name: str) -> Sum:
    """A variable, or a constant such as pi that is treated like one."""
    if name in ("e", "i"):  # Euler's number and the imaginary unit are none
        raise Unparsable
    return {(1, ((name, 1),)): Fraction(1)}


def add(a: Sum, b: Sum) -> Sum:
    total = dict(a)
    for term, coefficient in b.items():
        total[term] = total.get(term, Fraction(0)) + coefficient
    return _normalized(total)


def negate(a: Sum) -> Sum:
    return {term: -coefficient for term, coefficient in a.items()}


def multiply(a: Sum, b: Sum) -> Sum:
    total: Sum = {}
    # Every term with every term.
    for term_a, coefficient_a in a.items():
        for term_b, coefficient_b in b.items():
            term, factor = _multiply_terms(term_a, term_b)
            product = coefficient_a * coefficient_b * factor
            total[term] = total.get(term, Fraction(0)) + product
    return _normalized(total)


def _multiply_terms(a: Term, b: Term) -> tuple[Term, int]:
    """The product of two terms, and the factor that comes out of its root."""
    root_a, powers_a = a
    root_b, powers_b = b
    # sqrt(a) * sqrt(b) = g * sqrt(a*b/g^2), with g their greatest common divisor.
    divisor = math.gcd(root_a, root_b)
    root = root_a * root_b // divisor**2
    # Exponents of the same variable add up; variables that cancel are dropped.
    exponents = dict(powers_a)
    for name, exponent in powers_b:
        exponents[name] = exponents.get(name, 0) + exponent
    powers = sorted((name, exponent) for name, exponent in exponents.items() if exponent)
    return (root, tuple(powers)), divisor


def power(a: Sum, exponent: int) -> Sum:
    """`a` to the power of an exponent of at least 0."""
    # A rational number may have a large exponent, as in 2^98.
    if set(a) == {ONE} and exponent * _bits(a[ONE]) <= _MAX_BITS:
        return {ONE: a[ONE] ** exponent}
    if exponent > _MAX_POWER:
        raise Unparsable
    total = constant(Fraction(1))
    for _ in range(exponent):
        total = multiply(total, a)
    return total


def invert(a: Sum) -> Sum:
    """`1 / a`, where `a` is a single term."""
    if len(a) != 1:
        raise Unparsable  # 1/0, or 1/(1+x)
    ((root, powers), coefficient) = next(iter(a.items()))
    # 1/sqrt(r) is sqrt(r)/r.
    inverse_powers = tuple((name, -exponent) for name, exponent in powers)
    return {(root, inverse_powers): 1 / (coefficient * root)}


def square_root(a: Sum) -> Sum:
    """The root of a rational number that is not negative."""
    if not a:
        return {}
    # A sum without a rational term has no value; -1 makes the check below reject it.
    value = a.get(ONE, Fraction(-1))
    inside = value.numerator * value.denominator  # sqrt(p/q) is sqrt(p*q)/q
    if len(a) != 1 or not 0 < inside < _MAX_ROOT:
        raise Unparsable
    outside, inside = _extract_squares(inside)
    return {(inside, ()): Fraction(outside, value.denominator)}


def _extract_squares(number: int) -> tuple[int, int]:
    """The factors `outside` and `inside` of `sqrt(number)`: 12 gives 2 and 3, for 2*sqrt(3)."""
    outside = 1
    inside = number
    factor = 2
    while factor * factor <= inside:
        while inside % (factor * factor) == 0:
            inside //= factor * factor
            outside *= factor
        factor += 1
    return outside, inside


def _normalized(a: Sum) -> Sum:
    """`a` without the terms that cancelled out; raises `Unparsable` beyond the limits."""
    terms = {term: coefficient for term, coefficient in a.items() if coefficient}
    if len(terms) > _MAX_TERMS:
        raise Unparsable
    if any(_bits(coefficient) > _MAX_BITS for coefficient in terms.values()):
        raise Unparsable
    return terms


def _bits(value: Fraction) -> int:
    return max(value.numerator.bit_length(), value.denominator.bit_length())
