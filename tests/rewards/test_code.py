"""The code reward: how programs are found, run and scored. The attacks are in test_sandbox.py."""

import json
import os
import pickle
import time

import pytest

from rewards import REWARDS
from rewards.correctness.code import Code, extract_program
from rewards.correctness.unit_test_forms import read_tests
from rewards.isolation import namespaces
from tests.support.programs import answered_program, needs_sandbox

ADD = "def add(a, b):\n    return a + b"
SUM = [{"input": "1 2\n", "output": "3\n"}, {"input": "5 7\n", "output": "12\n"}]

pytestmark = needs_sandbox


@pytest.mark.parametrize(
    ("program", "fraction"),
    [
        ("a, b = map(int, input().split())\nprint(a + b)", 1.0),
        (
            "a, b = map(int, input().split())\nprint(a + b, ' \\n\\n')",
            1.0,
        ),  # white space at the end
        ("print(3)", 0.5),  # one of the two tests
        (
            "print(*[sum(map(int, input().split())), 'and more'], sep='\\n')",
            0.0,
        ),  # open-r1 rewards a right first line
        ("a, b = map(int, input().split())\nprint(' ', a + b)", 0.0),  # white space at the start
        (
            "a, b = map(int, input().split())\nprint(a + b)\nraise SystemExit(1)",
            0.0,
        ),  # right, and then an error
        ("print(sum(map(int, input().split()))", 0.0),  # does not parse
        ("", 0.0),  # nothing
    ],
)
def test_whole_outputs_are_compared(program, fraction):
    assert Code(partial_credit=True)(completion=answered_program(program), tests=SUM) == fraction
    assert Code()(completion=answered_program(program), tests=SUM) == float(fraction == 1)


@pytest.mark.parametrize(
    "read",
    [
        "input()",
        "sys.stdin.read()",
        "sys.stdin.buffer.read().decode()",
        "open(0).read()",
        "open(0, 'rb').readline().decode()",
        "open('/dev/stdin').read()",
        "os.read(0, os.fstat(0).st_size).decode()",  # as much as there is
        "io.BytesIO(os.read(0, os.fstat(0).st_size)).readline().decode()",
        "(sys.stdin.seek(0), sys.stdin.readline())[1]",  # from the start
        "mmap.mmap(0, 0, prot=mmap.PROT_READ).readline().decode()",
    ],
)
def test_a_program_may_read_its_input_as_a_file(read):
    program = f"import io, mmap, os, sys\nprint(sum(map(int, ({read}).split())))"
    assert Code()(completion=answered_program(program), tests=SUM) == 1.0


def test_an_input_larger_than_a_programs_files_may_be_is_whole():
    tests = [{"input": "1\n" * (9 << 20), "output": str(9 << 20)}]
    program = "import sys\nprint(sum(1 for line in sys.stdin))"
    reward = Code(timeout_seconds=60)
    assert reward(completion=answered_program(program), tests=tests) == 1.0


def test_results_may_have_more_digits_than_python_prints_by_default():
    tests = [{"input": "", "output": str(10**4299) + "0"}]
    assert Code()(completion=answered_program("print(10**4300)"), tests=tests) == 1.0
    program = "def power(n):\n    return 10**n"
    tests = ["assert power(5000) == 10**5000", "assert power(5000) != 10**5001"]
    assert Code()(completion=answered_program(program), tests=tests) == 1.0


@pytest.mark.parametrize(
    ("program", "tests", "score"),
    [
        (ADD, ["assert add(1, 2) == 3", "assert add('a', 'b') == 'ab'"], 1.0),
        (ADD, ["assert add(1, 2) == 4"], 0.0),
        (
            ADD,
            ["assert abs(add(0.1, 0.2) - 0.3) < 1e-9", "assert math.isclose(add(0.1, 0.2), 0.3)"],
            1.0,
        ),
        (
            ADD,
            [
                "assert set(add([1], [2, 2])) == set([1, 2])",
                "assert add((1,), ()) == (1,)",
                "assert not add(0, 0)",
            ],
            1.0,
        ),
        (
            ADD,
            [
                "assert add(1e308, 1e308) == float('inf')",
                "assert add({1: 2}.get(1), 0) in [2, 3], 'why'",
            ],
            1.0,
        ),
        (ADD, ["assert all(add(n, n) == 2 * n for n in range(3))"], 1.0),
        (
            "def sum(a, b):\n    return a * b",
            ["assert sum(2, 5) == 10"],
            1.0,
        ),  # named like one of Python's
        (
            "from collections import Counter",
            ["assert Counter('aab') == {'a': 2, 'b': 1}"],
            1.0,
        ),  # as data, a dict
        ("def add(a, b):\n    return a + b + 1", ["assert add(1, 2) == 3"], 0.0),
        (
            "import sys\nsys.exit(0)",
            ["assert add(1, 2) == 3"],
            0.0,
        ),  # ends with success before the assertion
        ("import os\nos._exit(0)", ["assert add(1, 2) == 3"], 0.0),  # without any clean-up
        (
            "import os\nprint('[3]', flush=True)\nos._exit(0)",
            ["assert add(1, 2) == 4"],
            0.0,
        ),  # prints a guess
        (
            "def add(a, b):\n    print('1\\n' * 9)\n    return 1",
            ["assert add(1, 2) == 3"],
            0.0,
        ),  # prints success
        (
            "class Any:\n    __eq__ = lambda a, b: True\ndef add(a, b): return Any()",
            ["assert add(1, 2) == 3"],
            0.0,
        ),
        (
            "class Any(int):\n    __eq__ = lambda a, b: True\ndef add(a, b): return Any(1)",
            ["assert add(1, 2) == 3"],
            0.0,
        ),
        (
            "class Any:\n    __repr__ = lambda a: '_[0] or True'\ndef add(a, b): return Any()",
            ["assert add(1, 2) == 3"],
            0.0,
        ),
        (
            "import builtins\nbuiltins.AssertionError = Warning\ndef add(a, b): return 1",
            ["assert add(1, 2) == 3"],
            0.0,
        ),
        (
            "import builtins\nbuiltins.set = lambda a: 1\ndef add(a, b): return 1",
            ["assert set(add(1, 2)) == set([3])"],
            0.0,
        ),
        (
            "import math\nmath.isclose = lambda *a: True\ndef add(a, b): return 1",
            ["assert math.isclose(add(1, 2), 3)"],
            0.0,
        ),
        (
            "import sys\ndef add(a, b): return [f.f_locals for f in sys._current_frames()]",
            ["assert add(1, 2) == 3"],
            0.0,
        ),
        (
            "def add(a, b):\n    x = []\n    for _ in range(900): x = [x]\n    return x",
            ["assert add(1, 2) == 3"],
            0.0,
        ),  # deep
    ],
)
def test_an_assertion_is_scored_by_the_values_that_the_program_computes(program, tests, score):
    assert Code()(completion=answered_program(program), tests=tests) == score


@pytest.mark.parametrize(
    ("answer", "program"),
    [
        ("print(1)", "print(1)"),  # no fence
        ("So:\n```python\nprint(1)\n```\nDone.", "print(1)\n"),
        ("```py\nprint(1)\n```", "print(1)\n"),
        ("```\nprint(1)\n```", "print(1)\n"),
        ("~~~python\nprint(1)\n~~~", "print(1)\n"),
        ("1. So:\n   ```python\n   if 1:\n       print(1)\n   ```", "if 1:\n    print(1)\n"),
        ("````python\nprint('```')\n```\n````", "print('```')\n```\n"),  # fences inside
        ('```python title="a.py"\nprint(1)\n```', "print(1)\n"),
        ("```python\nprint(1)\n", "print(1)\n"),  # never closed
        ("```python\n  print(1)\n  ```", "print(1)\n"),  # indented, but for its first line
        ("```python\nprint(1)\n```\nOutput:\n```\n1\n```", "print(1)\n"),  # what it prints
        (
            "```python\nprint(1)\n```\nBetter:\n```python\nprint(2)\n```",
            "print(2)\n",
        ),  # the last one
        (
            "```bash\nls\n```\n```python\nprint(1)\n```\n```text\n1\n```",
            "print(1)\n",
        ),  # other languages are not programs
    ],
)
def test_the_program_is_the_last_python_fence_or_the_whole_answer(answer, program):
    assert extract_program(answer) == program


def test_tests_are_read_in_each_form_and_rows_without_any_get_no_score():
    assert (
        read_tests(json.dumps(SUM))
        == read_tests({"inputs": ["1 2\n", "5 7\n"], "outputs": ["3\n", ["12", ""]]})
        == read_tests(SUM)
    )
    for tests in (
        None,
        [],
        "",
        "{",
        [{"input": "1"}],
        [3],
        ["x = 1"],
        ["assert True"],
        {"inputs": ["1"], "outputs": []},
    ):
        assert Code()(completion=answered_program("print(1)"), tests=tests) is None


def test_a_malformed_completion_scores_zero():
    assert Code()(completion="print(1)", tests=SUM) == 0.0


def test_the_reward_is_registered_and_can_be_pickled():
    assert REWARDS["code"] is Code
    assert pickle.loads(pickle.dumps(Code(processes=2))) == Code(processes=2)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("timeout_seconds", 0),
        ("memory_mb", 1),
        ("output_kb", 0.5),
        ("processes", True),
        ("unprotected", "no"),
    ],
)
def test_a_parameter_that_makes_no_sense_is_refused_by_name(key, value):
    with pytest.raises(ValueError, match=key):
        Code(**{key: value})


def test_a_broken_sandbox_is_not_a_wrong_program(monkeypatch):
    monkeypatch.setattr(namespaces, "SETUP", "echo no space left >&2; exit 0")
    completions = [answered_program("print(3)"), "malformed"]
    batch = Code().score_batch(completions, [{"tests": SUM}] * 2)
    assert (batch.scores, batch.failed, batch.timed_out) == ([None, 0.0], 1, 0)


def test_a_batch_of_hanging_programs_takes_one_limit_per_core():
    started = time.monotonic()
    batch = Code(timeout_seconds=1, partial_credit=True).score_batch(
        [answered_program("while True: pass")] * 4, [{"tests": SUM * 5}] * 4
    )
    assert (batch.scores, batch.timed_out) == ([0.0] * 4, 4)
    assert time.monotonic() - started < 4 * 1 / min(4, os.cpu_count()) + 2
