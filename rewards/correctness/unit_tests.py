"""What do the tests of a row ask of a program?"""

import ast
import builtins
import json
from dataclasses import dataclass
from typing import Any

# Around the program's values these are computed with the expected ones, where the program does not run.
_COMPARED = (ast.Compare, ast.BoolOp, ast.UnaryOp, ast.BinOp, ast.keyword)
_COMPARING = ("abs", "round", "math.isclose")


# Follows a program: a value as a text that `ast.literal_eval` reads. Only data leaves the sandbox, whatever the program returns.
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

# Compares what programs have shown with what is expected, in a sandbox of its own. Reads [["_[0] == 2", "[2]"], ...].
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
    """`assert f(1) == 2`, taken apart: `values` (`f(1)`) is what the program computes, `test` (`_[0] == 2`) what must hold then."""

    values: str
    test: str


def read_tests(tests: Any) -> list[InputOutput | Assertion]:
    """The tests of a row. Raises `ValueError`, `TypeError`, `KeyError` or `SyntaxError` if they cannot be read."""
    tests = json.loads(tests) if isinstance(tests, str) else tests
    if isinstance(tests, dict):
        if tests.get("fn_name"):
            raise ValueError(
                "a function to call, with arguments"
            )  # half of APPS's interview problems
        tests = [
            {"input": i, "output": o}
            for i, o in zip(tests["inputs"], tests["outputs"], strict=True)
        ]
    if not tests:
        raise ValueError("no tests")
    return [
        _assertion(test)
        if isinstance(test, str)
        else InputOutput(_text(test["input"]), _text(test["output"]))
        for test in tests
    ]


def _text(value: str | list[str]) -> str:
    """TACO writes some texts as a list of lines."""
    return value if isinstance(value, str) else "\n".join(value)


def _assertion(text: str) -> Assertion:
    match ast.parse(text.strip()).body:
        case [ast.Assert(test=test)]:
            split = _Split(test)
            remaining = ast.unparse(split.visit(test))
            if split.values:
                return Assertion(f"[{', '.join(split.values)}]", remaining)
    raise ValueError(f"not one assertion about the program: {text!r}")


class _Split(ast.NodeTransformer):
    """Replaces what the program computes by `_[0]`, `_[1]` ... and collects it."""

    def __init__(self, test: ast.expr) -> None:
        nodes = list(ast.walk(test))
        names = {
            node.id
            for node in nodes
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)
        }
        bound = {
            node.id
            for node in nodes
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
        }
        called = {
            node.func.id
            for node in nodes
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        }
        # Where all names are Python's, the tests ask for a function that is called like one: MBPP has a `sum(10, 15)`.
        self.names = names - bound - set(dir(builtins)) - {"math"} or called
        self.values: list[str] = []

    def visit(self, node: ast.AST) -> Any:
        if not any(
            isinstance(inner, ast.Name) and inner.id in self.names for inner in ast.walk(node)
        ):
            return node
        if isinstance(node, _COMPARED) or (
            isinstance(node, ast.Call) and ast.unparse(node.func) in _COMPARING
        ):
            return self.generic_visit(node)
        self.values.append(ast.unparse(node))
        return ast.parse(f"_[{len(self.values) - 1}]", mode="eval").body
