"""Runs the program in an answer against the unit tests of its row."""

import json
import logging
import re
import textwrap
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar, Literal, NamedTuple

from rewards.audit_cases import AuditExample
from rewards.completion import parse_completion
from rewards.correctness.unit_test_forms import read_tests
from rewards.correctness.unit_tests import (
    COMPARE,
    Assertion,
    InputOutput,
    UnitTest,
    build_program,
)
from rewards.interface import BatchReward, Row, ScoredBatch
from rewards.isolation.namespaces import Limits
from rewards.isolation.pool import cores
from rewards.isolation.sandbox import Protections, require_protections, run_program
from rewards.isolation.sandbox_process import Run, SandboxError, Status

logger = logging.getLogger(__name__)

# The line that opens or closes a fence, indented or not: `   ```python`, `~~~`
# (`+` behind a quantifier: what it has taken it keeps, or a line of `~~~~...` took minutes).
_FENCE = re.compile(r"([ \t]*+)(`{3,}+|~{3,}+)([^`]*+)")


class Scored(NamedTuple):
    """The score of one completion, and the status of its last run: `failed` if the sandbox did."""

    score: float | None
    status: Status | Literal["failed"] | None = None


@dataclass(frozen=True)
class Code(BatchReward):
    """1.0 if the program passes every test of the row, each in a run of its own.

    With `partial_credit`, the fraction of tests that it passes. The program is the last ```python,
    ```py or plain fence of the answer block, or the whole block if there is no fence. It can use
    Python's standard library. The row's tests, also as JSON text, are a list of
    `{"input": "1 2\\n", "output": "3\\n"}` and of assertions, or have one of the forms of MBPP,
    APPS, TACO, CodeContests, LiveCodeBench and open-r1 (`unit_test_forms.py`). `None` if the tests
    cannot be read or the sandbox fails. After a timeout no further test is run; the remaining ones
    count as failed.

    Outputs are compared as a whole, except for white space at the end of a line or of the text. The
    expected values are never where the program runs: it returns the values in an assertion as plain
    data, and another sandbox compares them. So no early exit, no printed success and no object that
    is equal to everything passes. What remains: in an assertion that calls more than `abs`, `round`
    or `math.isclose` around the program's function (`assert all(f(n) == n for n in (1, 2))`), the
    program computes the whole call and can claim any outcome. Values that are not plain data (an
    object, a generator) do not pass.

    Parameters:
        tests_column: the column with the tests.
        partial_credit: pays the fraction of tests passed. Easily exploited where most outputs are
            the same word.
        timeout_seconds: wall-clock time of each test.
        memory_mb: memory of each process of the program.
        output_kb: standard output and error of each test.
        processes: the processes and threads that the program may have at once.
        unprotected: runs programs even where the sandbox cannot protect the machine, see
            `rewards.isolation.sandbox`.
    """

    tests_column: str = "tests"
    partial_credit: bool = False
    timeout_seconds: float = 5.0
    memory_mb: int = 512
    output_kb: int = 256
    processes: int = 4
    unprotected: bool = False

    audit_example: ClassVar[AuditExample] = AuditExample(
        {"tests": [{"input": "1 2", "output": "3\n4"}]},
        right="a, b = map(int, input().split())\nprint(a + b)\nprint(a + b + 1)",
        wrong={
            "right first line": "print(3)",
            "other order": "print(4)\nprint(3)",
            "exit": "exit(0)",
            "more": "print('3\\n4\\n5')",
        },
    )

    def __post_init__(self) -> None:
        # The types are checked too: YAML may hold anything, and `true` is an integer to Python.
        timeout = self.timeout_seconds
        if isinstance(timeout, bool) or not isinstance(timeout, int | float):
            raise ValueError(f"timeout_seconds is {timeout!r}; write a number")
        if not 0 < timeout <= 3600:
            raise ValueError(f"timeout_seconds is {timeout!r}; it must be above 0 and at most 3600")
        # Less than this, and Python itself does not start.
        for key, minimum in {"memory_mb": 64, "output_kb": 1, "processes": 1}.items():
            value = getattr(self, key)
            if type(value) is not int or value < minimum:
                raise ValueError(
                    f"{key} is {value!r}; it must be a whole number, at least {minimum}"
                )
        for key in ("partial_credit", "unprotected"):
            value = getattr(self, key)
            if type(value) is not bool:
                raise ValueError(f"{key} is {value!r}; it must be true or false")

    def check(self) -> None:
        """Logs the protections of this machine.

        Raises `SandboxError` if one is missing and `unprotected` is false.
        """
        _log_once(require_protections(self.unprotected))

    def check_rows(self, rows: Iterable[Row]) -> None:
        """Counts the rows whose tests cannot be read. Raises `ValueError` if no row is left."""
        unreadable = 0
        count = 0
        first_reason = ""
        for row in rows:
            try:
                read_tests(self._tests_of(row), row)
            except ValueError as error:
                unreadable += 1
                first_reason = first_reason or f"row {count}: {error}"
            count += 1
        if unreadable == count:
            raise ValueError(f"none of the {count} rows has tests that can be read; {first_reason}")
        if unreadable:
            logger.warning(
                "code: %d of %d rows have no tests that can be read and earn no score; %s",
                unreadable,
                count,
                first_reason,
            )

    def score_batch(self, completions: Sequence[str], rows: Sequence[Row]) -> ScoredBatch:
        # Threads are enough: they only wait for the processes of the sandbox.
        self.check()
        with ThreadPoolExecutor(cores()) as pool:
            scored = list(pool.map(self._score_completion, completions, rows))
        return ScoredBatch(
            [each.score for each in scored],
            timed_out=sum(each.status in ("timeout", "memory") for each in scored),
            failed=sum(each.status == "failed" for each in scored),
        )

    def _score_completion(self, completion: str, row: Row) -> Scored:
        # Without tests that can be read there is no score; without a program, the score is 0.
        try:
            tests = read_tests(self._tests_of(row), row)
        except ValueError:
            return Scored(None)
        parsed = parse_completion(completion)
        if parsed is None:
            return Scored(0.0)

        # A sandbox that failed is not the program's fault.
        try:
            return self._score_program(extract_program(parsed.answer), tests)
        except SandboxError as error:
            logger.warning("code: not scored: %s", error)
            return Scored(None, "failed")

    def _tests_of(self, row: Row) -> Any:
        if row.get(self.tests_column) is None:
            raise ValueError(
                f"no tests in the column tests_column: {self.tests_column}; "
                f"there are: {', '.join(row)}"
            )
        return row[self.tests_column]

    def _score_program(self, program: str, tests: list[UnitTest]) -> Scored:
        passed = 0
        pending: list[tuple[str, str, str]] = []  # imports, conditions, values they are to hold for
        status: Status | None = None

        # Run the tests one by one. Outputs are compared here, values in an assertion later.
        for number, test in enumerate(tests):
            match test:
                case InputOutput():
                    result = self._run(program, test.input)
                    passed += result.status == "ok" and _lines(result.stdout) == _lines(test.output)
                case Assertion():
                    result = self._run(build_program(program, test))
                    if result.status == "ok":
                        shown = result.stdout.rstrip("\n").rpartition("\n")[2]
                        pending.append((test.imports, test.test, shown))
            status = result.status

            # A program that hangs gets no further time; one test failed may be enough to decide.
            failed = passed + len(pending) <= number
            if status == "timeout" or (failed and not self.partial_credit):
                break

        # All assertions are checked at once, in a sandbox that the program has never seen.
        if pending and (self.partial_credit or passed + len(pending) == len(tests)):
            comparison = self._run(COMPARE, json.dumps(pending))
            passed += comparison.stdout.split().count("1")

        if self.partial_credit:
            return Scored(passed / len(tests), status)
        return Scored(float(passed == len(tests)), status)

    def _run(self, program: str, stdin: str = "") -> Run:
        limits = Limits(self.timeout_seconds, self.memory_mb, self.output_kb, self.processes)
        return run_program(program, stdin, limits, self.unprotected)


@cache
def _log_once(found: Protections) -> None:
    level = logging.WARNING if found.launcher == "none" else logging.INFO
    logger.log(level, "%s", found)


def _lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.rstrip().split("\n")]


def extract_program(answer: str) -> str:
    """The last fence of Python, else the last without a language, else the whole answer."""
    # The last is what the model settled on; a plain one behind a program often shows its output.
    programs: dict[bool, str] = {}  # of fences that name Python, and of those that name nothing
    opened: re.Match[str] | None = None
    lines: list[str] = []
    for line in [*answer.splitlines(keepends=True), ""]:
        fence = _FENCE.fullmatch(line.rstrip())
        if opened is None:
            opened = fence
            lines = []
        elif line and not (fence and _closes(fence, opened)):
            lines.append(line)
        else:
            # `python3`, `python title="a.py"` and `{.python}` are Python.
            words = opened[3].strip(" \t{}.").lower().split()
            if not words or words[0] in ("python", "py", "python3"):
                # The indentation of the fence is not the program's.
                programs[bool(words)] = textwrap.dedent("".join(lines))
            opened = None
    return programs.get(True, programs.get(False, answer))


def _closes(fence: re.Match[str], opened: re.Match[str]) -> bool:
    """Whether a line closes a fence: the same marks, at least as many, and nothing else."""
    return fence[2].startswith(opened[2]) and not fence[3].strip()
