"""Is the answer right? The one verdict: for training, for keeping traces, and for evaluation."""

import logging
import re
import threading
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Any

from rewards.trace import parse

# Plain numbers are decided here, exactly and at once: an integer or decimal, thousands separators, a leading dollar sign.
_NUMBER = re.compile(r"\$?\s*([+-]?)\s*\$?(\d{1,3}(?:,\d{3})+|\d+)?(\.\d+)?\.?")
_MAX_DIGITS = 100  # a longer one is text: Python refuses to convert 4,300 digits and more


@dataclass(frozen=True)
class Accuracy:
    """1.0 if the text of the answer block equals the gold answer, 0.0 if not, `None` if the gold cannot be read.

    The answer is taken from the answer block of a well-formed trace, never from the think block; a malformed trace has no
    answer and earns 0.0 (so accuracy never exceeds the format rate, and DeepSeek-R1-Zero's rule-based accuracy reward,
    arXiv 2501.12948 section 2.2.2, stays decidable). Text and plain numbers are compared exactly; what that cannot decide
    goes to math-verify (https://github.com/huggingface/Math-Verify).

    Parameters:
        timeout_seconds: limit for math-verify on one answer; an answer that takes longer is wrong, a gold that does is `None`.
    """

    timeout_seconds: int = 2

    def __call__(self, completion: str, answer: str, **row: Any) -> float | None:
        gold = str(answer).strip()
        if not gold:
            return None
        trace = parse(completion)
        gold_number = _number(gold)
        if gold_number is None and not _math(gold, self.timeout_seconds):
            return None
        if trace is None:
            return 0.0
        if trace.answer == gold:
            return 1.0
        answer_number = _number(trace.answer)
        if gold_number is not None and answer_number is not None:
            return float(gold_number == answer_number)
        return float(_math_equal(gold, trace.answer, self.timeout_seconds))


def _number(text: str) -> Fraction | None:
    match = _NUMBER.fullmatch(text)
    if match is None or len(text) > _MAX_DIGITS or not (match[2] or match[3]):
        return None
    return Fraction(match[1] + (match[2] or "0").replace(",", "") + (match[3] or ""))


@lru_cache(maxsize=65536)
def _math(gold: str, timeout_seconds: int) -> tuple[Any, ...]:
    """The gold as math-verify reads it; empty if it cannot. Cached: each gold is judged against many completions."""
    return tuple(_math_parse(gold, timeout_seconds))


def _math_parse(text: str, timeout_seconds: int) -> list[Any]:
    from math_verify import ExprExtractionConfig, LatexExtractionConfig
    from math_verify import parse as math_parse

    _quiet_math_verify()
    # Bare LaTeX is only understood between delimiters; `\boxed{}` brings its own.
    wrapped = text if "$" in text or "\\boxed" in text else f"${text}$"
    configs = [LatexExtractionConfig(boxed_match_priority=0), ExprExtractionConfig()]
    return list(math_parse(wrapped, extraction_config=configs, parsing_timeout=_limit(timeout_seconds)))


def _math_equal(gold: str, answer: str, timeout_seconds: int) -> bool:
    from math_verify import verify

    parsed = _math_parse(answer, timeout_seconds)
    return bool(verify(list(_math(gold, timeout_seconds)), parsed, timeout_seconds=_limit(timeout_seconds)))


def _limit(timeout_seconds: int) -> int | None:
    # math-verify's limits are signal.alarm, which only the main thread may set; elsewhere it would raise for every answer.
    return timeout_seconds if threading.current_thread() is threading.main_thread() else None


@lru_cache(maxsize=1)
def _quiet_math_verify() -> None:
    # It warns once per call that limits are off outside the main thread; the docstring above says what happens instead.
    for name in ("math_verify.parser", "math_verify.grader"):
        logging.getLogger(name).setLevel(logging.ERROR)
