"""Calls math-verify; only imported in worker processes, because an answer may make it hang."""

import logging
from functools import lru_cache
from typing import Any

from math_verify import ExprExtractionConfig, LatexExtractionConfig, verify
from math_verify import parse as math_parse
from sympy import Eq, Expr, N, Rational, false, simplify

# It warns that its own limits are off; the worker has others.
logging.getLogger("math_verify").setLevel(logging.ERROR)

# math-verify rounds to six places: for golds below SMALL, relative differences count as well.
SMALL = 1e-3
MAX_RELATIVE_DIFFERENCE = 0.01


def warm_up() -> None:
    """Reads and compares once what makes sympy and the LaTeX parser load and cache their parts."""
    for answer in (r"x=\frac{1}{2}", r"x^2+\sin y", r"(1,2)\cup(3,4)", "1<x<2", "1, 2"):
        equal(r"\sqrt{2}+1", answer)


def readable(gold: str) -> bool:
    """Whether math-verify can read the gold."""
    return bool(_parse_gold(gold))


def equal(gold: str, answer: str) -> bool:
    """Whether math-verify takes `answer` for equal to `gold`."""
    answers = _parse(answer)
    golds = _parse_gold(gold)
    # What is never equal to anything is settled before math-verify is asked.
    if any(map(_contradicts_itself, answers)):
        return False
    # A list of answers must be as long as the gold one.
    for parsed_gold in golds:
        for parsed_answer in answers:
            if _differ_in_size(parsed_gold, parsed_answer):
                return False
    if verify(golds, answers, timeout_seconds=None, allow_set_relation_comp=True):
        return True
    has_constant = gold.endswith("+C") and answer.endswith("+C")
    return has_constant and _are_antiderivatives(golds, answers)


@lru_cache(maxsize=4096)
def _parse_gold(gold: str) -> list[Any]:
    return _parse(gold)


def _parse(text: str) -> list[Any]:
    # Bare LaTeX is only understood between delimiters; `\boxed{}` brings its own.
    wrapped = text if "$" in text or "\\boxed" in text else f"${text}$"
    configs = [LatexExtractionConfig(boxed_match_priority=0), ExprExtractionConfig()]
    return list(math_parse(wrapped, extraction_config=configs, parsing_timeout=None))


def _differ_in_size(gold: Any, answer: Any) -> bool:
    """Whether two numbers differ by more than a hundredth, which math-verify may not see.

    It rounds to six places, and takes (2^2005 + 1) / (3 * 2^2006) for 1 / (3 * 2^2006).
    """
    for value in (gold, answer):
        if not (isinstance(value, Expr) and value.is_number and value.is_real):
            return False
    if gold.is_zero:
        return False
    ratio = N(answer / gold, 30)
    # `9%` may mean 9 or 0.09, but not where rounding makes all numbers the same.
    is_percent = abs(N(gold)) >= SMALL and ratio in (100, N(Rational(1, 100), 30))
    return bool(abs(ratio - 1) > MAX_RELATIVE_DIFFERENCE) and not is_percent


def _are_antiderivatives(golds: list[Any], answers: list[Any]) -> bool:
    """Whether the first gold and the first answer differ by a constant."""
    pair = [parsed[0] for parsed in (golds, answers) if parsed and isinstance(parsed[0], Expr)]
    if len(pair) < 2:
        return False
    difference = pair[0] - pair[1]
    return all(simplify(difference.diff(symbol)) == 0 for symbol in difference.free_symbols)


def _contradicts_itself(expression: Any) -> bool:
    """Whether it is an equation such as `160=161`, of which math-verify compares only one side."""
    sides = getattr(expression, "_unsorted_args", (expression,))  # of a chain of equations
    for side in sides:
        if isinstance(side, Eq) and not side.free_symbols and side.doit() == false:
            return True
    return False
