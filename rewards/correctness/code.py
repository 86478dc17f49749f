"""Does the program do what the tests ask?"""

import json
import logging
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from typing import ClassVar

from rewards.audit_cases import AuditExample
from rewards.completion import parse_completion
from rewards.correctness.unit_tests import COMPARE, SHOW, Assertion, InputOutput, read_tests
from rewards.interface import BatchReward, Row, ScoredBatch
from rewards.isolation.namespaces import Limits
from rewards.isolation.pool import cores
from rewards.isolation.sandbox import (
    Protections,
    Run,
    SandboxError,
    require_protections,
    run_program,
)

logger = logging.getLogger(__name__)

_FENCE = re.compile(r"^```([^\n`]*)\n(.*?)^```[ \t]*$", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Code(BatchReward):
    """1.0 if the program passes every test of the row, each in a run of its own; with `partial_credit`, the share that it passes.

    The program is the last ```python, ```py or plain fence of the answer block, or the whole block where there is no fence. It has
    Python's standard library. The row's tests, also as JSON text, are a list of `{"input": "1 2\\n", "output": "3\\n"}` and of
    assertions (MBPP), or `{"inputs": [...], "outputs": [...]}` (APPS, TACO). `None` without tests that can be read, and where the
    sandbox fails. After a time-out no further test is run: those count as not passed.

    Outputs are compared as a whole, but for white space at the end of a line or of the text. What is expected is never where the
    program runs: it hands out the values in an assertion as plain data, and another sandbox compares them. So no early exit, no
    printed success and no object that is equal to everything passes. What remains: in an assertion that calls more than `abs`,
    `round` or `math.isclose` around the program's function (`assert all(f(n) == n for n in (1, 2))`), the program computes the
    whole call and can claim any outcome. Values that are no plain data (an object, a generator) do not pass.

    Parameters:
        tests_column: the column with the tests.
        partial_credit: pays the share of tests passed. Easily farmed where most outputs are the same word.
        timeout_seconds: wall time of each test.
        memory_mb: memory of each process of the program.
        output_kb: standard output and error of each test.
        processes: how many processes and threads the program may have at once.
        unprotected: runs programs even where the sandbox cannot protect the machine, see `rewards.isolation.sandbox`.
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
        if isinstance(self.timeout_seconds, bool) or not isinstance(
            self.timeout_seconds, int | float
        ):
            raise ValueError(f"timeout_seconds is {self.timeout_seconds!r}; write a number")
        if not 0 < self.timeout_seconds <= 3600:
            raise ValueError(
                f"timeout_seconds is {self.timeout_seconds!r}; it must be above 0 and at most 3600"
            )
        for key, least in {"memory_mb": 64, "output_kb": 1, "processes": 1}.items():
            if type(getattr(self, key)) is not int or getattr(self, key) < least:
                raise ValueError(
                    f"{key} is {getattr(self, key)!r}; it must be a whole number, at least {least}"
                )
        for key in ("partial_credit", "unprotected"):
            if type(getattr(self, key)) is not bool:
                raise ValueError(f"{key} is {getattr(self, key)!r}; it must be true or false")

    def check(self) -> None:
        """Says which protections this machine gives. Raises `SandboxError` where one is missing and `unprotected` is false."""
        _announce(require_protections(self.unprotected))

    def score_batch(self, completions: Sequence[str], rows: Sequence[Row]) -> ScoredBatch:
        self.check()
        with ThreadPoolExecutor(cores()) as pool:
            verdicts = list(pool.map(self._judge, completions, rows))
        return ScoredBatch(
            [None if verdict == "failed" else score for score, verdict in verdicts],
            timed_out=sum(verdict in ("timeout", "memory") for _, verdict in verdicts),
            failed=sum(verdict == "failed" for _, verdict in verdicts),
        )

    def _judge(self, completion: str, row: Row) -> tuple[float | None, str]:
        """The score, and the status of the last run or `failed`."""
        try:
            tests = read_tests(row.get(self.tests_column))
        except (ValueError, TypeError, KeyError, SyntaxError, RecursionError, MemoryError):
            return None, ""
        trace = parse_completion(completion)
        if trace is None:
            return 0.0, ""
        try:
            return self._score(program_in(trace.answer), tests)
        except SandboxError as error:
            logger.warning("code: not judged: %s", error)
            return None, "failed"

    def _score(self, program: str, tests: list[InputOutput | Assertion]) -> tuple[float, str]:
        passed, shown, status = 0, [], ""
        for number, test in enumerate(tests):
            match test:
                case InputOutput():
                    result = self._run(program, test.input)
                    passed += result.status == "ok" and _lines(result.stdout) == _lines(test.output)
                case Assertion():
                    result = self._run(f"{program}\n{SHOW}\nprint('\\n' + _show({test.values}))")
                    if result.status == "ok":
                        shown.append((test.test, result.stdout.rstrip("\n").rpartition("\n")[2]))
            status = result.status
            if status == "timeout" or (passed + len(shown) <= number and not self.partial_credit):
                break
        if shown and (self.partial_credit or passed + len(shown) == len(tests)):
            passed += self._run(COMPARE, json.dumps(shown)).stdout.split().count("1")
        return passed / len(tests) if self.partial_credit else float(passed == len(tests)), status

    def _run(self, program: str, stdin: str = "") -> Run:
        limits = Limits(self.timeout_seconds, self.memory_mb, self.output_kb, self.processes)
        return run_program(program, stdin, limits, self.unprotected)


@cache
def _announce(found: Protections) -> None:
    logger.log(logging.WARNING if found.launcher == "none" else logging.INFO, "%s", found)


def _lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.rstrip().split("\n")]


def program_in(answer: str) -> str:
    """The last fence that is Python or says nothing, or the whole answer. Of several, the last is the one a model settled on."""
    programs = [
        text
        for kind, text in _FENCE.findall(answer)
        if kind.strip().lower() in ("", "python", "py", "python3")
    ]
    return programs[-1] if programs else answer
