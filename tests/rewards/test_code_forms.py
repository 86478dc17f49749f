"""The code reward on rows as datasets write them: judged, or refused before training."""

import json
import logging

import pytest

from rewards import RewardError, build_rewards
from rewards.correctness.code import Code
from rewards.trl_adapter import check_rows
from tests.support.programs import answered_program, needs_sandbox

ADD = "def add(a, b):\n    return a + b"
METHOD = "class Solution:\n    def add(self, a, b):\n        return a + b"
PRINT = "print(sum(map(int, input().split())))"
# `print(3)` and a function that returns 3 pass the first test and fail the second.
LINES = [("1 2\n", "3\n"), ("5 7\n", "12\n")]
NAMED = {"fn_name": "add"}


def functional(*pairs):
    return [{"input": i, "output": o, "testtype": "functional"} for i, o in pairs]


def typed(kind, *pairs, **more):
    return [{"type": kind, "input": i, "output": o, **more} for i, o in pairs]


FORMS = {
    "LiveCodeBench, functional": (
        METHOD,
        {
            "tests": json.dumps(functional(("1\n2", "3"), ("5\n7", "12"))),
            "metadata": json.dumps({"func_name": "add"}),
        },
    ),
    "LiveCodeBench, metadata as a mapping": (
        METHOD,
        {"tests": functional(('"a"\n"b"', '"ab"')), "metadata": NAMED},
    ),
    "LiveCodeBench, metadata of each test": (
        ADD,
        {
            "tests": [
                test | {"metadata": NAMED} for test in functional(("[1]\n[2, 3]", "[1, 2, 3]"))
            ]
        },
    ),
    "LiveCodeBench, stdin": (
        PRINT,
        {
            "tests": [{"input": i, "output": o, "testtype": "stdin"} for i, o in LINES],
            "metadata": "{}",
        },
    ),
    "CodeContests": (
        PRINT,
        {"tests": {"input": [i for i, _ in LINES], "output": [o for _, o in LINES]}},
    ),
    "CodeContests in Arrow, which fills up with null": (
        PRINT,
        {"tests": {"input": ["1 2"], "output": ["3"], "inputs": None, "test_cases": None}},
    ),
    "one test": (PRINT, {"tests": {"input": "1 2\n", "output": "3\n"}}),
    "open-r1, stdin_stdout": (
        PRINT,
        {"tests": {"language": "python", "test_cases": typed("stdin_stdout", *LINES)}},
    ),
    "open-r1, function_call": (
        ADD,
        {
            "tests": {
                "language": "python",
                "test_cases": typed("function_call", ([1, 2], 3), ([5, 7], 12), **NAMED),
            }
        },
    ),
    "function_call, results wrapped in a list": (
        ADD,
        {"tests": typed("function_call", ([1, 2], [3]), ([5, 7], [12]), **NAMED)},
    ),
    "function_call as text": (
        ADD,
        {"tests": typed("function_call", ("[1, 2]", "3"), ("[5, 7]", "12"), **NAMED)},
    ),
    "function_call, columns": (
        ADD,
        {
            "tests": {
                "type": ["function_call"] * 2,
                "fn_name": ["add"] * 2,
                "input": ["[1, 2]", '["a", "b"]'],
                "output": ["3", '"ab"'],
            }
        },
    ),
    "APPS, stdin": (PRINT, {"tests": {"inputs": ["1 2\n"], "outputs": ["3\n"], "fn_name": None}}),
    "APPS, function": (
        METHOD,
        {"tests": json.dumps({"inputs": [[1, 2], [5, 7]], "outputs": [3, 12], **NAMED})},
    ),
    "APPS, wrapped results": (
        ADD,
        {"tests": {"inputs": [[1, 2], ["a", "b"]], "outputs": [[3], ["ab"]], **NAMED}},
    ),
    "APPS, lists of one item that are results": (
        ADD,
        {"tests": {"inputs": [[[1], []], [[], [2]]], "outputs": [[1], [2]], **NAMED}},
    ),
    "MBPP": (ADD, {"tests": ["assert add(1, 2) == 3"], "test_setup_code": "", "test_imports": []}),
    "MBPP, set-up that uses the program": (
        "class Node:\n    def __init__(self, v):\n        self.v = v\n"
        "def add(a, b):\n    return a.v + b.v",
        {
            "tests": ["assert add(root, leaf) == 3"],
            "test_setup_code": "root = Node(1)\nleaf = Node(2)",
        },
    ),
    "MBPP, imports": (
        ADD,
        {
            "tests": [
                "assert add(int(Decimal(1)), 2) == Decimal(3)",
                "assert math.isclose(add(0.1, 0.2), float(Decimal('0.3')))",
            ],
            "test_imports": ["import math", "from decimal import Decimal"],
        },
    ),
}


@needs_sandbox
@pytest.mark.parametrize("form", FORMS)
def test_a_right_program_is_paid_and_a_wrong_one_is_not(form):
    right, row = FORMS[form]
    wrong = "print(4)\ndef add(a, b):\n    return 4\nclass Node:\n    def __init__(self, v): pass"
    assert Code()(completion=answered_program(right), **row) == 1.0
    assert Code()(completion=answered_program(wrong), **row) == 0.0


@needs_sandbox
@pytest.mark.parametrize(
    ("program", "score"),
    [
        (f"from __future__ import annotations\n{ADD}", 1.0),
        ("def add(a: List[int], b: Optional[int]): return a + b", 1.0),  # without an import
        (f"{ADD}\nif __name__ == '__main__':\n    print(add(*map(int, input().split())))", 1.0),
        (f"from dataclasses import dataclass\n@dataclass\nclass A:\n    a: int\n{ADD}", 1.0),
        (f"class Solution:\n    pass\n{ADD}", 1.0),  # no method of this name
        ("def add(a, b): return a + b + 1e-12", 1.0),  # as exact as floats are
        ("def add(a, b): return a + b + 0.1", 0.0),
        ("def plus(a, b): return a + b", 0.0),
        ("from operator import add", 1.0),
        ("", 0.0),  # although Python has an `add` in its library
        ("def _call(*_): return 3.0\n_same_as_one = same = lambda *_: True", 0.0),
        ("class Any(float):\n    __eq__ = lambda a, b: True\ndef add(a, b): return Any(9)", 0.0),
    ],
)
def test_a_function_is_called_as_the_datasets_graders_do(program, score):
    tests = {"inputs": [[1, 2]], "outputs": [3.0], **NAMED}
    assert Code()(completion=answered_program(program), tests=tests) == score


@needs_sandbox
@pytest.mark.parametrize(
    ("expected", "returned", "score"),
    [
        ([1, [2, 3]], "(1, (2, 3))", 1.0),  # JSON has no tuples
        ({"1": 2}, "{1: 2}", 1.0),  # and no keys but texts
        ([1, 2, 3], "1", 0.0),  # not a wrapped result
        ([], "()", 1.0),
        ([], "''", 0.0),
        (None, "None", 1.0),
        (True, "True", 1.0),
        ("3", "3", 0.0),
        ("it's", '"it\'s"', 1.0),
        (float("inf"), "float('inf')", 1.0),
        (10**30, "10**30 + 1", 0.0),  # exact, as no float is expected
    ],
)
def test_results_are_compared_as_json_would_write_them(expected, returned, score):
    program = f"def f():\n    return {returned}"
    tests = {"inputs": [[]], "outputs": [expected], "fn_name": "f"}
    assert Code()(completion=answered_program(program), tests=tests) == score


REFUSED = {
    "function": functional(("1\n2", "3")),  # no name anywhere
    "fn_name": typed("function_call", ([1, 2], 3)),
    "unknown type 'interactive'": typed("interactive", ("1", "2")),
    "'cpp'": {"language": "cpp", "test_cases": typed("stdin_stdout", *LINES)},
    "no text": [{"input": [1, 2], "output": 3}],  # a call without a name
    "needs a type": [{"input": "[1, 2]", "output": "3", **NAMED}],  # one argument or two?
    "neither JSON": typed("function_call", ("[1, 2]", "three"), **NAMED),
    "not a list": typed("function_call", ("12", "3"), **NAMED),
    "no name of a function": typed("function_call", ([1], 2), fn_name="add or f"),
    "1 inputs and 2 outputs": {"input": ["1"], "output": ["2", "3"]},
    "'2' is not a list": {"inputs": ["1"], "outputs": "2"},
    "no 'output'": [{"input": "1"}],
    "not JSON": "eJxrYJmayAAGET1",  # LiveCodeBench's private tests, compressed
    "no tests": {"input": [], "output": []},
    "not one assertion": ["assert True"],
    "unknown form": ["assert ("],
    "must be a list": 3,
    "there are: question, tests": None,
}


@needs_sandbox
@pytest.mark.parametrize("reason", REFUSED)
def test_rows_that_cannot_be_read_earn_no_score_and_are_refused_before_training(reason):
    row = {"question": "?", "tests": REFUSED[reason]}
    assert Code()(completion=answered_program(ADD), **row) is None

    # Named by another reward, too.
    cosine = {"name": "cosine", "max_tokens": 9, "correctness_reward": "code"}
    for entry in ("code", cosine):
        functions, _ = build_rewards([entry])
        with pytest.raises(RewardError, match=reason) as error:
            check_rows(functions, [row, row])
        assert "none of the 2 rows" in str(error.value)
        assert "\n" not in str(error.value)


@needs_sandbox
def test_a_few_rows_that_cannot_be_read_are_counted_and_the_run_starts(caplog):
    rows = [{"tests": FORMS["MBPP"][1]["tests"]}, {"tests": "{"}]
    functions, _ = build_rewards(["code", "format", "accuracy"])
    with caplog.at_level(logging.WARNING):
        check_rows(functions, rows)
    assert "code: 1 of 2 rows have no tests that can be read" in caplog.text
