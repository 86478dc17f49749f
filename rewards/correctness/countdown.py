"""Countdown: the answer is an expression of the given numbers that reaches the target."""

import ast
import json
import re
from collections import Counter
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, ClassVar

from rewards.answers.normalize import unboxed
from rewards.audit_cases import AuditExample
from rewards.completion import parse_completion

# What an expression may consist of. Checked before Python's parser sees the text: deep nesting or a
# megabyte of text would hurt it.
_EXPRESSION = re.compile(r"[0-9+\-*/() ]{1,200}")

_MAX_LENGTH = 1000  # characters, with all signs spelled out

# What LaTeX and typography write for Python's four operations.
_SIGNS = {r"\times": "*", r"\cdot": "*", r"\div": "/", r"\left": "", r"\right": ""}
_SIGNS |= {"\u00d7": "*", "\u00b7": "*", "\u22c5": "*", "\u00f7": "/", "\u2212": "-", "$": ""}
_SIGN = re.compile("|".join(re.escape(sign) for sign in _SIGNS))


@dataclass(frozen=True)
class Countdown:
    """1.0 if the expression in the answer block equals the target and uses each number as given.

    Every number has to be used exactly as often as it is given, with `+ - * /`, brackets and whole
    numbers only. Evaluated over exact rationals, never by `eval`. The gold answer is the target
    (https://github.com/Jiayi-Pan/TinyZero). `None` if the target or the numbers of the row cannot
    be read.

    Parameters:
        numbers_column: the column with the list of numbers, also as JSON.
    """

    numbers_column: str = "nums"

    audit_example: ClassVar[AuditExample] = AuditExample(
        {"answer": "24", "nums": [1, 4, 6]},
        right="1*4*6",
        wrong={
            "the target": "24",
            "another value": "4+6+1",
            "a number twice": "4*6*1*1",
            "a number left out": "4*6",
            "power": "6**4/54",
            "an equation": "1*4*6=24",
            "floor division": "(4*6)//1",
        },
    )

    def __call__(self, completion: str, answer: str, **row: Any) -> float | None:
        # The task: without readable numbers and target there is nothing to score.
        try:
            given = _read_numbers(row[self.numbers_column])
            target = _read_target(str(answer))
        except (ValueError, TypeError, ZeroDivisionError, OverflowError):
            return None

        # The expression: whatever is wrong with it is the model's mistake.
        parsed = parse_completion(completion)
        expression = _plain_expression(parsed.answer) if parsed else ""
        if not _EXPRESSION.fullmatch(expression):
            return 0.0
        try:
            value, used = _evaluate(ast.parse(expression, mode="eval").body)
        except (SyntaxError, ValueError, ZeroDivisionError):
            return 0.0
        return float(value == target and used == given)


def _plain_expression(answer: str) -> str:
    """The expression with Python's signs, without a box around it."""
    if len(answer) > _MAX_LENGTH:
        return ""
    return _SIGN.sub(lambda match: _SIGNS[match[0]], unboxed(answer)).strip()


def _read_numbers(numbers: Any) -> Counter[int]:
    """How often each number is given. Raises `ValueError` if one is not whole."""
    if isinstance(numbers, str):
        numbers = json.loads(numbers)
    if any(number != int(number) for number in numbers):
        raise ValueError("not a whole number")
    return Counter(int(number) for number in numbers)


def _read_target(text: str) -> Fraction:
    # Fraction("1e400000000") would compute an integer of 400 million digits.
    if len(text) >= 20 or "e" in text.lower():
        raise ValueError("not a plain number")
    return Fraction(text.strip())


def _evaluate(node: ast.expr) -> tuple[Fraction, Counter[int]]:
    """The value of an expression, and the numbers in it.

    Raises `ValueError` for anything but whole numbers and `+ - * /`.
    """
    # A leaf: a whole number, used once.
    if isinstance(node, ast.Constant) and type(node.value) is int:
        return Fraction(node.value), Counter([node.value])
    if not isinstance(node, ast.BinOp):
        raise ValueError("not a number or an operation")
    # Fractions keep divisions exact.
    left, used_left = _evaluate(node.left)
    right, used_right = _evaluate(node.right)
    used = used_left + used_right
    match node.op:
        case ast.Add():
            return left + right, used
        case ast.Sub():
            return left - right, used
        case ast.Mult():
            return left * right, used
        case ast.Div():
            return left / right, used
    raise ValueError("another operator")
