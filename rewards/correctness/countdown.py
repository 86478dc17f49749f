"""Does the expression reach the target with the given numbers?"""

import ast
import json
import re
from collections import Counter
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from rewards.completion import parse_completion

# What an expression may be written with. Checked before Python's parser sees it, which deep nesting or a megabyte would hurt.
_EXPRESSION = re.compile(r"[0-9+\-*/() ]{1,200}")


@dataclass(frozen=True)
class Countdown:
    """1.0 if the answer block is an expression that equals the target and uses each given number as often as it is given.

    Only `+ - * /`, brackets and whole numbers; evaluated over exact rationals, never by `eval`. The gold answer is the target
    (https://github.com/Jiayi-Pan/TinyZero). `None` if the target or the numbers of the row cannot be read.

    Parameters:
        numbers_column: the column with the list of numbers, also as JSON.
    """

    numbers_column: str = "nums"

    def __call__(self, completion: str, answer: str, **row: Any) -> float | None:
        try:
            numbers = row[self.numbers_column]
            numbers = json.loads(numbers) if isinstance(numbers, str) else numbers
            given = Counter(int(number) for number in numbers)
            target = (
                Fraction(str(answer).strip())
                if len(str(answer)) < 20 and "e" not in str(answer).lower()
                else None
            )
        except (ValueError, TypeError, ZeroDivisionError, OverflowError):
            return None
        if target is None or any(number != int(number) for number in numbers):
            return None
        trace = parse_completion(completion)
        if trace is None or not _EXPRESSION.fullmatch(trace.answer):
            return 0.0
        try:
            value, used = _evaluate(ast.parse(trace.answer, mode="eval").body)
        except (SyntaxError, ValueError, ZeroDivisionError):
            return 0.0  # not an expression, another operator, or a division by zero: the model's mistake
        return float(value == target and used == given)


def _evaluate(node: ast.expr) -> tuple[Fraction, Counter[int]]:
    """The value of an expression and the numbers in it. Raises `ValueError` for anything but numbers and `+ - * /`."""
    if isinstance(node, ast.Constant) and type(node.value) is int:
        return Fraction(node.value), Counter([node.value])
    if not isinstance(node, ast.BinOp):
        raise ValueError
    (left, used_left), (right, used_right) = _evaluate(node.left), _evaluate(node.right)
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
    raise ValueError
