"""What does math-verify say? Only imported in worker processes: importing it takes a second, and its text may hang it."""

import logging
from functools import lru_cache
from typing import Any

from math_verify import ExprExtractionConfig, LatexExtractionConfig, verify
from math_verify import parse as math_parse
from sympy import Eq, Expr, N, false

logging.getLogger("math_verify").setLevel(
    logging.ERROR
)  # it warns that its own limits are off: the worker has others


def readable(gold: str) -> bool:
    """Whether math-verify makes anything of the gold."""
    return bool(_gold(gold))


def equal(gold: str, answer: str) -> bool:
    """Whether math-verify calls `answer` equal to `gold`."""
    answers = _parse(answer)
    golds = _gold(gold)
    if any(map(_contradicts_itself, answers)) or any(
        _differ_in_size(a, b) for a in golds for b in answers
    ):
        return False
    return bool(verify(golds, answers, timeout_seconds=None, allow_set_relation_comp=True))


@lru_cache(maxsize=4096)
def _gold(gold: str) -> list[Any]:
    return _parse(gold)


def _parse(text: str) -> list[Any]:
    # Bare LaTeX is only understood between delimiters; `\boxed{}` brings its own.
    wrapped = text if "$" in text or "\\boxed" in text else f"${text}$"
    configs = [LatexExtractionConfig(boxed_match_priority=0), ExprExtractionConfig()]
    return list(math_parse(wrapped, extraction_config=configs, parsing_timeout=None))


def _differ_in_size(gold: Any, answer: Any) -> bool:
    """Whether two small numbers differ by a hundredth and more of their size: math-verify rounds to six places."""
    numbers = [x for x in (gold, answer) if isinstance(x, Expr) and x.is_number and x.is_real]
    if len(numbers) < 2 or gold.is_zero or not abs(N(gold)) < 1e-3:
        return False
    return bool(abs(N(answer / gold, 30) - 1) > 0.01)


def _contradicts_itself(expression: Any) -> bool:
    """`160=161`, of which math-verify compares the last side alone."""
    parts = getattr(expression, "_unsorted_args", (expression,))  # a chain of equations
    return any(
        isinstance(part, Eq) and not part.free_symbols and part.doit() == false for part in parts
    )
