"""Reads the unit tests of a row, and splits assertions into computed and expected values."""

import ast
import builtins
import json
from dataclasses import dataclass
from typing import Any

# Operations and calls around the program's values. They are evaluated together with the expected
# values, where the program does not run.
_TRUSTED_NODES = (ast.Compare, ast.BoolOp, ast.UnaryOp, ast.BinOp, ast.keyword)
_TRUSTED_CALLS = ("abs", "round", "math.isclose")

# Appended to a program: writes a value as text that `ast.literal_eval` reads. Only data leaves the
# sandbox, whatever the program returns.
SHOW = """
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

# Compares the values that programs computed with the expected ones, in a sandbox of its own. Reads
# [["_[0] == 2", "[2]"], ...].
COMPARE = """
import ast, json, math, sys
for test, values in json.load(sys.stdin):
    try:
        print(int(bool(eval(test, {"math": math, "_": ast.literal_eval(values)}))))
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
    """

    values: str
    test: str


def read_tests(tests: Any) -> list[InputOutput | Assertion]:
    """The tests of a row.

    Raises `ValueError`, `TypeError`, `KeyError` or `SyntaxError` if they cannot be read.
    """
    # Every form becomes a list: JSON, two lists in a mapping, or a list already.
    if isinstance(tests, str):
        tests = json.loads(tests)
    if isinstance(tests, dict):
        tests = _read_columns(tests)
    if not tests:
        raise ValueError("no tests")
    return [_read_test(test) for test in tests]


def _read_columns(tests: dict[str, Any]) -> list[dict[str, Any]]:
    """The tests of APPS and TACO, which hold inputs and outputs in two lists."""
    if tests.get("fn_name"):  # half of APPS's interview problems
        raise ValueError("a function to call, with arguments")
    pairs = zip(tests["inputs"], tests["outputs"], strict=True)
    return [{"input": stdin, "output": stdout} for stdin, stdout in pairs]


def _read_test(test: Any) -> InputOutput | Assertion:
    if isinstance(test, str):
        return _read_assertion(test)
    return InputOutput(_join_lines(test["input"]), _join_lines(test["output"]))


def _join_lines(value: str | list[str]) -> str:
    """A text. TACO writes some of them as a list of lines."""
    if isinstance(value, str):
        return value
    return "\n".join(value)


def _read_assertion(text: str) -> Assertion:
    # Exactly one statement, an assertion, of which the program computes at least one value.
    match ast.parse(text.strip()).body:
        case [ast.Assert(test=test)]:
            splitter = _Splitter(_names_of_program(test))
            condition = ast.unparse(splitter.visit(test))
            if splitter.values:
                return Assertion(f"[{', '.join(splitter.values)}]", condition)
    raise ValueError(f"not one assertion about the program: {text!r}")


def _names_of_program(test: ast.expr) -> set[str]:
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
    return read - bound - set(dir(builtins)) - {"math"} or called


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
