"""Unit tests: assertions and calls are split into computed and expected values."""

import ast
import builtins
import keyword
from dataclasses import dataclass
from typing import Any

# Operations and calls around the program's values. They are evaluated together with the expected
# values, where the program does not run.
_TRUSTED_NODES = (ast.Compare, ast.BoolOp, ast.UnaryOp, ast.BinOp, ast.keyword)
_TRUSTED_CALLS = ("abs", "round", "math.isclose")

# Appended to a program: writes a value as text that `ast.literal_eval` reads. Only data leaves the
# sandbox, whatever the program returns.
_SHOW = """
def _show(value):
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_show(key)}: {_show(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_show, value)) + "]"
    if isinstance(value, tuple):
        return "(" + "".join(f"{_show(item)}, " for item in value) + ")"
    if isinstance(value, (set, frozenset)):
        return "{" + ", ".join(map(_show, value)) + "}" if value else "set()"
    if isinstance(value, float):
        return repr(value).replace("inf", "1e999")
    return repr(value)
"""

# Around a program that defines a function. It runs as a module of its own, so that its `main` does
# not run, and finds among its builtins what graders of such programs import for it: solutions write
# `List[int]` as if that were one. What it does not define itself is not its answer.
_MODULE = """
import sys, types
_program = sys.modules["program"] = types.ModuleType("program")
_program.__builtins__ = {{}}
exec('''
from collections import *
from copy import *
from functools import *
from heapq import *
from itertools import *
from bisect import *
from math import *
from operator import *
from random import *
from re import *
from string import *
from typing import *
from builtins import *
from builtins import __build_class__, __import__
import collections, copy, functools, heapq, itertools, bisect, math, operator, random, re, string
import sys
''', _program.__builtins__)
sys.setrecursionlimit(50000)
exec({program!r}, _program.__dict__)
def _call(name, *arguments):
    solution = getattr(_program, "Solution", None)
    if hasattr(solution, name):
        return getattr(solution(), name)(*arguments)
    return getattr(_program, name)(*arguments)
"""

# Compares the values that programs computed with the expected ones, in a sandbox of its own. Reads
# [["import re", "_[0] == 2", "[2]"], ...]. JSON knows no tuples and no keys but texts.
COMPARE = """
import ast, json, math, sys
def same(value, expected):
    if isinstance(value, (list, tuple)) and isinstance(expected, (list, tuple)):
        return len(value) == len(expected) and all(map(same, value, expected))
    if isinstance(value, dict) and isinstance(expected, dict):
        texts = {str(key): item for key, item in value.items()}
        return texts.keys() == {str(key) for key in expected} and all(
            same(texts[str(key)], item) for key, item in expected.items()
        )
    if isinstance(expected, float) and isinstance(value, (int, float)):
        return math.isclose(value, expected, rel_tol=1e-6, abs_tol=1e-9)
    return value == expected
def same_as_one(value, accepted):
    return any(same(value, each) for each in accepted)
for imports, test, values in json.load(sys.stdin):
    try:
        names = {"math": math, "_same_as_one": same_as_one, "_": ast.literal_eval(values)}
        exec(imports, names)
        print(int(bool(eval(test, names))))
    except Exception:
        print(0)
"""


@dataclass(frozen=True)
class InputOutput:
    """A standard input and the standard output that belongs to it."""

    input: str
    output: str


@dataclass(frozen=True)
class Assertion:
    """An assertion, split into what the program computes and what is expected of it.

    Attributes:
        values: a list of the program's values, `[f(1)]` of `assert f(1) == 2`.
        test: the condition on them, `_[0] == 2`.
        setup: statements that run between the program and the values.
        imports: those of `setup` that the condition may need.
        is_call: whether `values` is the call of a function.
    """

    values: str
    test: str
    setup: str = ""
    imports: str = ""
    is_call: bool = False


UnitTest = InputOutput | Assertion


def read_assertion(text: str, setup: str = "") -> Assertion:
    """An assertion that runs after the statements of `setup`.

    Raises `ValueError` or `SyntaxError` unless the program computes a value in it.
    """
    # What the set-up imports is not the program's.
    imports = [
        node for node in ast.parse(setup).body if isinstance(node, ast.Import | ast.ImportFrom)
    ]
    imported = {
        (alias.asname or alias.name).partition(".")[0] for node in imports for alias in node.names
    }
    # Exactly one statement, an assertion, of which the program computes at least one value.
    match ast.parse(text.strip()).body:
        case [ast.Assert(test=test)]:
            splitter = _Splitter(_names_of_program(test, imported))
            condition = ast.unparse(splitter.visit(test))
            if splitter.values:
                values = f"[{', '.join(splitter.values)}]"
                return Assertion(values, condition, setup, "\n".join(map(ast.unparse, imports)))
    raise ValueError(f"not one assertion about the program: {text!r}")


def make_call(name: str, arguments: list[Any], accepted: list[Any]) -> Assertion:
    """A call of the function or of the method of `Solution` that is called `name`.

    Raises `ValueError` if there cannot be such a function.
    """
    if not name.isidentifier() or keyword.iskeyword(name):
        raise ValueError(f"{name!r} is no name of a function")
    values = f"[_call({name!r}, *{_write(arguments)})]"
    return Assertion(values, f"_same_as_one(_[0], {_write(accepted)})", is_call=True)


def _write(value: Any) -> str:
    """A value as text that Python reads, infinities included."""
    if isinstance(value, float):
        return repr(value).replace("inf", "1e999").replace("nan", "(1e999 - 1e999)")
    if isinstance(value, list):
        return f"[{', '.join(map(_write, value))}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key!r}: {_write(item)}" for key, item in value.items()) + "}"
    return repr(value)


def build_program(program: str, test: Assertion) -> str:
    """A program that prints the values of `test`, as text, on its last line."""
    if test.is_call:
        program = _MODULE.format(program=program)
    return f"{program}\n{test.setup}\n{_SHOW}\nprint('\\n' + _show({test.values}))"


def _names_of_program(test: ast.expr, imported: set[str]) -> set[str]:
    """The names in an assertion that the program has to define."""
    # Names that are read, that the assertion itself binds (`n` in `for n in ...`), or are called.
    read = set()
    bound = set()
    called = set()
    for node in ast.walk(test):
        match node:
            case ast.Name(id=name, ctx=ast.Load()):
                read.add(name)
            case ast.Name(id=name, ctx=ast.Store()):
                bound.add(name)
            case ast.Call(func=ast.Name(id=name)):
                called.add(name)

    # If every name is one of Python's, the tests ask for a function with such a name: MBPP has a
    # `sum(10, 15)`.
    return read - bound - set(dir(builtins)) - {"math"} - imported or called - imported


class _Splitter(ast.NodeTransformer):
    """Replaces what the program computes by `_[0]`, `_[1]` ... and collects it in `values`."""

    def __init__(self, names: set[str]) -> None:
        self.names = names
        self.values: list[str] = []

    def visit(self, node: ast.AST) -> Any:
        # Expected values stay as they are, and trusted operations are searched further.
        if not self._uses_program(node):
            return node
        if _is_trusted(node):
            return self.generic_visit(node)

        # The program computes everything else.
        self.values.append(ast.unparse(node))
        return ast.parse(f"_[{len(self.values) - 1}]", mode="eval").body

    def _uses_program(self, node: ast.AST) -> bool:
        for inner in ast.walk(node):
            if isinstance(inner, ast.Name) and inner.id in self.names:
                return True
        return False


def _is_trusted(node: ast.AST) -> bool:
    """Whether a node can be evaluated where the program does not run."""
    if isinstance(node, ast.Call):
        return ast.unparse(node.func) in _TRUSTED_CALLS
    return isinstance(node, _TRUSTED_NODES)
