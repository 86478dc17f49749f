"""Compares two answers, exactly and at once where that is possible; leaves the rest undecided."""

import enum
import re
from dataclasses import replace
from fractions import Fraction

from rewards.answers.estimate import clearly_differ
from rewards.answers.polynomial import Polynomial
from rewards.answers.quantity import Number, Value, ValueCollection, read_value
from rewards.answers.sums import ONE, Sum

_LETTERS = re.compile(r"[A-Za-z]+(?: [A-Za-z]+)*")  # matches: east  New York
_WORD = re.compile(r".*[A-Z].|.{5}")  # matches: East  seven; `xyz` is a product
_BASED = re.compile(r"(\w+)_\{?(\d+)\}?", re.ASCII)  # matches: 2516_8  1011_{2}

# Words and signs that make a number a statement about it.  matches: < 7  \neq 7  is not 7
_RELATION = re.compile(r"<|>|\\(?:[lgn]eq?|neq|leq|geq|not)(?![A-Za-z])|^\D*\bnot\b")

# Rational numbers that differ by more are different, whatever rounding did to them.
MAX_ROUNDING = Fraction(1, 10**5)
MAX_RELATIVE_ROUNDING = Fraction(1, 100)

HALF_OPEN = {"[)", "(]"}

Parsed = Polynomial | ValueCollection | None


class Comparison(enum.Enum):
    """Whether two answers are the same; UNDECIDED where exact arithmetic cannot tell."""

    SAME = enum.auto()
    DIFFERENT = enum.auto()
    UNDECIDED = enum.auto()


SAME = Comparison.SAME
DIFFERENT = Comparison.DIFFERENT
UNDECIDED = Comparison.UNDECIDED


def compare(gold: str, answer: str) -> Comparison:
    """Compares two texts that `normalize` returned.

    Agrees with math-verify, even where it is generous: `9%` is `0.09` and `9`, units do not count,
    and decimals that agree to about six places are left to it, because it takes `0.333333` for a
    third. Where it is plainly wrong is a table in the tests.
    """
    if gold == answer:
        return SAME
    gold_value = read_value(gold)
    answer_value = read_value(answer)
    if _are_exact(gold_value, answer_value):
        return _when(gold_value.value == answer_value.value)  # type: ignore[union-attr]
    text_comparison = _compare_texts(gold, answer)
    if text_comparison is not None:
        return text_comparison
    if isinstance(gold_value, Number | Polynomial) and _RELATION.search(answer):
        return DIFFERENT

    # `9%` may mean 9 or 0.09, so both readings count.
    percent_differs = _is_percent(gold_value) != _is_percent(answer_value)
    if percent_differs and _numeral(gold_value) == _numeral(answer_value):
        return SAME
    comparison = _compare_parsed(_as_formula(gold_value), _as_formula(answer_value))
    if comparison is UNDECIDED and clearly_differ(gold, answer):
        return DIFFERENT
    return comparison


def _when(is_same: bool) -> Comparison:
    return SAME if is_same else DIFFERENT


def _are_exact(a: Value | None, b: Value | None) -> bool:
    """Whether both are numbers without decimals, which need no rounding."""
    if not isinstance(a, Number) or not isinstance(b, Number):
        return False
    return a.percent == b.percent and not a.decimal and not b.decimal


def _compare_texts(gold: str, answer: str) -> Comparison | None:
    """Compares words, and numerals of another base; `None` if the answer is neither."""
    are_letters = _LETTERS.fullmatch(gold) and _LETTERS.fullmatch(answer)
    if are_letters and (_WORD.match(gold) or _WORD.match(answer)):
        # To math-verify a word is a product of its letters.
        return _when(gold.casefold() == answer.casefold())
    numeral = _BASED.fullmatch(answer)
    if numeral:
        gold_numeral = _BASED.fullmatch(gold)
        return _when(gold_numeral is not None and gold_numeral.groups() == numeral.groups())
    return None


def _is_percent(value: Value | None) -> bool:
    return isinstance(value, Number) and value.percent


def _numeral(value: Value | None) -> Sum | None:
    """The terms of a number or formula, those of 9 for `9%`."""
    if isinstance(value, Number):
        value = replace(value, percent=False)
    formula = _as_formula(value)
    return formula.terms if isinstance(formula, Polynomial) else None


def _as_formula(value: Value | None) -> Parsed:
    return value.formula if isinstance(value, Number) else value


def _compare_parsed(a: Parsed, b: Parsed) -> Comparison:
    if isinstance(a, Polynomial) and isinstance(b, Polynomial):
        return _compare_formulas(a, b)
    if isinstance(a, ValueCollection) and isinstance(b, ValueCollection):
        return _compare_collections(a, b)
    return UNDECIDED


def _compare_formulas(a: Polynomial, b: Polynomial) -> Comparison:
    if a.terms == b.terms:
        return SAME
    if a.decimal or b.decimal:
        return DIFFERENT if _differ_beyond_rounding(a, b) else UNDECIDED
    # math-verify takes trailing letters for units, and single ones in its own way.
    if a.letters != b.letters or a.symbol:
        return UNDECIDED
    return DIFFERENT


def _differ_beyond_rounding(a: Polynomial, b: Polynomial) -> bool:
    """Whether two rational numbers are too far apart to be the same but for rounding.

    math-verify rounds to six places, which makes all small numbers equal; so a hundredth of their
    size is a difference too.
    """
    if set(a.terms) | set(b.terms) != {ONE}:
        return False
    x = a.terms.get(ONE, Fraction(0))
    y = b.terms.get(ONE, Fraction(0))
    return abs(x - y) > min(MAX_ROUNDING, max(abs(x), abs(y)) * MAX_RELATIVE_ROUNDING)


def _compare_collections(a: ValueCollection, b: ValueCollection) -> Comparison:
    if a.brackets == b.brackets == "{}":
        return _compare_sets(a, b)
    if a.brackets != b.brackets:
        # [1,2) is an interval and no other; (1,2), [1,2] and {1,2} may mean the same point, list
        # or set.
        is_interval = bool({a.brackets, b.brackets} & HALF_OPEN)
        are_pairs = len(a.parts) == len(b.parts) == 2
        return DIFFERENT if is_interval and are_pairs else UNDECIDED
    if len(a.parts) != len(b.parts):
        return DIFFERENT
    parts = [_compare_parsed(x, y) for x, y in zip(a.parts, b.parts, strict=True)]
    if DIFFERENT in parts:
        return DIFFERENT
    return UNDECIDED if UNDECIDED in parts else SAME


def _compare_sets(a: ValueCollection, b: ValueCollection) -> Comparison:
    for part in [*a.parts, *b.parts]:
        if isinstance(part, ValueCollection) or part.decimal or part.symbol:
            return UNDECIDED
    return _when(_members(a) == _members(b))


def _members(collection: ValueCollection) -> set[frozenset[object]]:
    formulas = [part for part in collection.parts if isinstance(part, Polynomial)]
    return {frozenset(formula.terms.items()) for formula in formulas}
