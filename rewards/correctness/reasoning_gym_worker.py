"""Calls reasoning-gym's verifiers: in the workers of the pool, and as a program of the sandbox.

In the sandbox this file is the whole program: it imports nothing of this repository. Imported
elsewhere it takes seconds.
"""

import ast
import contextlib
import importlib
import json
import os
import re
import select
import signal
import sys
import time
from collections.abc import Callable
from fractions import Fraction
from functools import cache
from typing import Any

import sympy
from reasoning_gym import get_score_answer_fn

Verifier = Callable[[str, dict[str, Any]], float]
Reply = tuple[float | None, str]

READY = "ready"  # the line of the program's output that says that reasoning-gym is imported
BACKSTOP = 10  # wall-clock time of an answer, in units of its computing time
_REPLY_BYTES = 4096

# Verifiers that call Python's `eval` on an answer or a row, though they expect a literal.
_EVALUATING = (
    "algorithmic.binary_matrix",
    "algorithmic.number_sorting",
    "algorithmic.spiral_matrix",
    "algorithmic.string_insertion",
    "games.n_queens",
)
# What an expression of numbers may consist of.
_ARITHMETIC = (ast.Expression, ast.BinOp, ast.UnaryOp, ast.Constant, ast.operator, ast.unaryop)
# sympy's `parse_expr` runs its text as Python. These characters and names make formulas only: no
# attribute, no text, no tuple, no comparison.
_FORMULA = re.compile(r"[A-Za-z0-9\s().+*/-]*")
_NAME = re.compile(r"[A-Za-z]+")
_FUNCTIONS = {
    *("sin", "cos", "tan", "sec", "csc", "cot", "asin", "acos", "atan", "sinh", "cosh", "tanh"),
    *("exp", "log", "ln", "sqrt", "pi", "Abs"),
}
_NO_SYMBOLS = set("NOQS")  # single letters that are functions or classes of sympy


def verify(answer: str, entry: dict[str, Any]) -> Reply:
    """The score that the task's verifier gives to `answer`, and what it raised, if anything.

    The score is `None` if the verifier raises on the entry's own answer, too: then it is the entry
    that cannot be read, and 0.0 if it raises on this answer alone.
    """
    # Verifiers print what they stumble over, and a process's standard output is for results.
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
        try:
            verifier = find_verifier(entry["metadata"]["source_dataset"])
        except Exception as error:  # no such task, or one that needs a configuration (composite)
            return None, repr(error)[:200]
        entry = _readable(entry, verifier)
        try:
            return float(verifier(answer, entry)), ""
        except (MemoryError, RecursionError):
            raise  # limits of the worker
        except Exception as error:
            # Whatever a verifier raises on a model's text alone is its answer to that text.
            score = None if _score_of_own_answer(entry, verifier) is None else 0.0
            return score, repr(error)[:200]


@cache
def find_verifier(task: str) -> Verifier:
    """reasoning-gym's verifier of a task, or ours where that one pays what is wrong."""
    if task == "game_of_life_halting":
        return _verify_halting
    verifier: Any = get_score_answer_fn(task)
    is_right = _ALSO_ASKED.get(task)

    def ask_both(answer: str, entry: dict[str, Any]) -> float:
        # Some rows' own answers are unsolved integrals, which is nothing that a model may write.
        if task == "intermediate_integration" and answer == entry["answer"]:
            return 1.0
        score = float(verifier(answer, entry))
        if score < 1.0 or is_right is None or is_right(answer, entry):
            return score
        return 0.0

    return ask_both


def _verify_halting(answer: str, entry: dict[str, Any]) -> float:
    """1.0 for the right one of `True` and `False`: the task's verifier pays any text for `True`."""
    return float(answer.strip().lower() == str(entry["answer"]).strip().lower())


def _same_numbers(answer: str, entry: dict[str, Any]) -> bool:
    """Whether `answer` uses the row's numbers: the verifier of puzzle24 pays `6*4*1*1` for any."""
    numbers = sorted(int(number) for number in re.findall(r"\d+", answer))
    return numbers == sorted(entry["metadata"]["numbers"])


def _same_probability(answer: str, entry: dict[str, Any]) -> bool:
    """Whether the values are equal: the verifier of coin_flip pays `0` for 0.3125, as a prefix."""
    values = [Fraction(text.replace(",", "")) for text in (answer, entry["answer"])]
    return abs(values[0] - values[1]) <= 1e-4


def _is_number(answer: str, entry: dict[str, Any]) -> bool:
    """Whether `answer` is not NaN, which the verifier of complex_arithmetic pays for any."""
    return "nan" not in answer.lower()


_ALSO_ASKED = {
    "puzzle24": _same_numbers,
    "coin_flip": _same_probability,
    "complex_arithmetic": _is_number,
}


def _readable(entry: dict[str, Any], verifier: Verifier) -> dict[str, Any]:
    """The entry as the task made it: with tuples, where lists are not accepted for them.

    JSON and Arrow know no tuples, and arc_agi's verifier compares with one.
    """
    if _score_of_own_answer(entry, verifier) == 1.0:
        return entry
    with_tuples = {**entry, "metadata": _with_tuples(entry["metadata"])}
    if _score_of_own_answer(with_tuples, verifier) == 1.0:
        return with_tuples
    return entry


def _score_of_own_answer(entry: dict[str, Any], verifier: Verifier) -> float | None:
    """The score of the entry's own answer, 0.0 without one; `None` if the verifier raises on it."""
    if entry.get("answer") is None:
        return 0.0
    try:
        return float(verifier(entry["answer"], entry))
    except Exception:
        return None


def _with_tuples(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _with_tuples(item) for key, item in value.items()}
    if isinstance(value, list):
        return tuple(_with_tuples(item) for item in value)
    return value


def guard_verifiers() -> None:
    """Replaces what runs text as Python, in the verifiers that do, by what only reads it."""
    guards: dict[str, tuple[str, Any]] = dict.fromkeys(_EVALUATING, ("eval", ast.literal_eval))
    guards["arithmetic.bitwise_arithmetic"] = ("eval", _evaluate_arithmetic)
    guards["games.countdown"] = guards["games.puzzle24"] = ("parse_expr", _parse_formula)
    for name, (function, guard) in guards.items():
        # Other versions may have other modules; the sandbox is there for those.
        with contextlib.suppress(ImportError):
            setattr(importlib.import_module(f"reasoning_gym.{name}"), function, guard)
    # The others call it as `sympy.parse_expr`; sympy itself does not.
    sympy.parse_expr = _parse_formula


def _evaluate_arithmetic(text: str) -> Any:
    """The value of an expression of numbers and operators, such as `(0x1f << 2) & 0xff`."""
    tree = ast.parse(text, mode="eval")
    if not all(isinstance(node, _ARITHMETIC) for node in ast.walk(tree)):
        raise ValueError("not an expression of numbers")
    return eval(compile(tree, "problem", "eval"), {"__builtins__": {}})


def _parse_formula(text: str, *args: Any, **kwargs: Any) -> Any:
    """sympy's `parse_expr`, for formulas only."""
    for name in _NAME.findall(text):
        is_symbol = len(name) == 1 and name not in _NO_SYMBOLS
        if not is_symbol and name not in _FUNCTIONS:
            raise ValueError(f"{name} is not a name of formulas")
    if not _FORMULA.fullmatch(text):
        raise ValueError("not a formula")
    return _parse_expression(text, *args, **kwargs)


_parse_expression = sympy.parse_expr
guard_verifiers()


def main() -> None:
    """Verifies the tasks on standard input; writes one reply each, `None` for one over its limit.

    Each answer has a process of its own, so that whatever it does to a verifier, no other answer
    meets it.
    """
    sys.stdout.write(f"{READY}\n")
    sys.stdout.flush()
    cpu_seconds, tasks = json.load(sys.stdin)
    # Found before the processes are forked, so that none of them pays for it.
    for task in {entry["metadata"]["source_dataset"] for _, entry in tasks}:
        with contextlib.suppress(Exception):
            find_verifier(task)
    replies = [_verify_apart(answer, entry, cpu_seconds) for answer, entry in tasks]
    sys.stdout.write(json.dumps(replies))


def _verify_apart(answer: str, entry: dict[str, Any], cpu_seconds: float) -> Any:
    """The reply of a process of its own; `None` if it exceeded a limit."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            # The signal's default action ends the process, in the middle of anything.
            signal.setitimer(signal.ITIMER_PROF, cpu_seconds)
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            os.write(writer, json.dumps(verify(answer, entry)).encode() + b"\n")
        finally:
            os._exit(0)

    # One line, in bounded time and length, whatever the process does.
    os.close(writer)
    deadline = time.monotonic() + BACKSTOP * cpu_seconds
    reply = b""
    while len(reply) < _REPLY_BYTES and not reply.endswith(b"\n"):
        ready, _, _ = select.select([reader], [], [], max(0.0, deadline - time.monotonic()))
        chunk = os.read(reader, _REPLY_BYTES) if ready else b""
        if not chunk:
            break
        reply += chunk
    os.close(reader)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    try:
        return json.loads(reply)
    except ValueError:
        return None


if __name__ == "__main__":
    main()
