"""Reads the unit tests of a row in the forms of the datasets that have them.

    MBPP            ["assert f(1) == 2", ...]; columns test_setup_code, test_imports
    APPS, TACO      {"inputs": [...], "outputs": [...], "fn_name": "f"}
    CodeContests    {"input": [...], "output": [...]}
    LiveCodeBench   [{"input", "output", "testtype": "functional"}, ...]; the name in `metadata`
    open-r1         {"language": "python", "test_cases": [{"type", "fn_name", "input", "output"}]}

Each also as JSON text. Tests without the name of a function are standard input and output.
"""

import ast
import json
from collections.abc import Mapping
from typing import Any

from rewards.correctness.unit_tests import (
    Assertion,
    InputOutput,
    UnitTest,
    make_call,
    read_assertion,
)

_NO_ROW: Mapping[str, Any] = {}

# What the datasets call a test that calls a function, one that does not, and the function's name.
_CALL_TYPES = ("functional", "function_call")
_STDIN_TYPES = ("stdin", "stdin_stdout")
_NAME_KEYS = ("fn_name", "func_name")


def read_tests(tests: Any, row: Mapping[str, Any] = _NO_ROW) -> list[UnitTest]:
    """The tests of a row; `row` holds its other columns.

    Raises `ValueError`, with the reason, if they cannot be read.
    """
    try:
        return _read_tests(tests, row)
    except KeyError as error:
        raise ValueError(f"a test has no {error}") from error
    except (TypeError, AttributeError, SyntaxError, RecursionError, MemoryError) as error:
        raise ValueError(f"tests of an unknown form: {error!r}") from error


def _read_tests(tests: Any, row: Mapping[str, Any]) -> list[UnitTest]:
    # Every form becomes a list of entries.
    if isinstance(tests, str):
        tests = _read_json(tests)
    shared_name = None
    if isinstance(tests, Mapping):
        shared_name = _find_name(tests)
        tests = _read_mapping(tests)
    if not isinstance(tests, list):
        raise ValueError(f"tests must be a list or a mapping, not {str(tests)[:50]!r}")
    if not tests:
        raise ValueError("no tests")

    # What holds for all tests of the row stands in the row or beside the list.
    shared_name = shared_name or _find_name({"metadata": row.get("metadata")})
    setup = _read_setup(row)
    wrapped = _are_wrapped(tests)
    return [
        read_assertion(test, setup)
        if isinstance(test, str)
        else _read_entry(test, shared_name, wrapped)
        for test in tests
    ]


def _read_json(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"the tests {text[:40]!r} are not JSON: {error}") from error


def _read_mapping(tests: Mapping[str, Any]) -> list[Any]:
    """The entries of a mapping: a list in it, its columns, or the mapping itself."""
    # Arrow fills up what a row does not have with null.
    tests = {key: value for key, value in tests.items() if value is not None}
    if "test_cases" in tests:
        language = str(tests.get("language", "python")).lower()
        if language not in ("python", "python3", "py"):
            raise ValueError(f"the tests are for programs in {language!r}")
        return tests["test_cases"]

    # One test, or a column of each thing.
    columns = {{"inputs": "input", "outputs": "output"}.get(key, key): tests[key] for key in tests}
    if not isinstance(columns["input"], list) and "inputs" not in tests:
        return [columns]
    for key in ("input", "output"):
        if not isinstance(columns[key], list):
            raise ValueError(f"{key}: {str(columns[key])[:50]!r} is not a list")
    count = len(columns["input"])
    if len(columns["output"]) != count:
        raise ValueError(f"{count} inputs and {len(columns['output'])} outputs")
    # The type and the name may stand once for all tests.
    return [
        {key: value[index] if isinstance(value, list) else value for key, value in columns.items()}
        for index in range(count)
    ]


def _find_name(entry: Mapping[str, Any]) -> str | None:
    """The name of the function that an entry calls: its own, or that in its metadata."""
    metadata = entry.get("metadata")
    if isinstance(metadata, str):
        try:
            metadata = json.loads(metadata)
        except ValueError:
            metadata = None
    for place in (entry, metadata):
        if isinstance(place, Mapping):
            for key in _NAME_KEYS:
                if isinstance(place.get(key), str) and place[key]:
                    return place[key]
    return None


def _read_setup(row: Mapping[str, Any]) -> str:
    """MBPP's statements between the program and its tests."""
    imports = row.get("test_imports") or []
    lines = [imports] if isinstance(imports, str) else list(imports)
    return "\n".join([*lines, row.get("test_setup_code") or ""]).strip()


def _are_wrapped(tests: list[Any]) -> bool:
    """Whether every output is a list of one item, as APPS writes results: `[3]` for 3.

    A function may also return such lists, so that either passes. A list in JSON text is no wrapper.
    """
    outputs = [test.get("output") for test in tests if isinstance(test, Mapping)]
    return all(isinstance(output, list) and len(output) == 1 for output in outputs)


def _read_entry(
    test: Mapping[str, Any], shared_name: str | None, wrapped: bool
) -> InputOutput | Assertion:
    kind = test.get("testtype") or test.get("type")
    if kind not in (None, *_CALL_TYPES, *_STDIN_TYPES):
        raise ValueError(f"a test of the unknown type {kind!r}")
    name = _find_name(test) or shared_name

    # Standard input and output.
    if kind in _STDIN_TYPES or (kind is None and not name):
        return InputOutput(_join_lines(test["input"]), _join_lines(test["output"]))

    # A function to call.
    if not name:
        raise ValueError(f"a test of the type {kind!r} has no fn_name, nor has its metadata")
    arguments = _read_arguments(test["input"], kind)
    expected = test["output"]
    if isinstance(test["input"], str) and isinstance(expected, str):
        expected = _read_value(expected)
    accepted = [expected, expected[0]] if wrapped else [expected]
    return make_call(name, arguments, accepted)


def _join_lines(value: Any) -> str:
    """A text. TACO writes some of them as a list of lines."""
    if isinstance(value, str):
        return value
    if isinstance(value, list) and all(isinstance(line, str) for line in value):
        return "\n".join(value)
    raise ValueError(f"{str(value)[:50]!r} is no text, and the test names no function")


def _read_arguments(value: Any, kind: str | None) -> list[Any]:
    """The arguments of a call: a list, JSON of a list, or JSON on one line each."""
    if isinstance(value, list):
        return value
    if not isinstance(value, str):
        raise ValueError(f"the arguments {str(value)[:50]!r} are not a list")
    if kind is None:
        raise ValueError(
            "text as arguments of a function needs a type: functional (JSON, an argument a line) "
            "or function_call (JSON, a list of arguments)"
        )
    if kind == "function_call":
        arguments = _read_value(value)
        if not isinstance(arguments, list):
            raise ValueError(f"the arguments {value[:50]!r} are not a list")
        return arguments
    return [_read_value(line) for line in value.splitlines() if line.strip()]


def _read_value(text: str) -> Any:
    """A value in JSON, or as Python writes it."""
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        pass
    try:
        return ast.literal_eval(text.strip())
    except (ValueError, SyntaxError) as error:
        raise ValueError(f"{text[:50]!r} is neither JSON nor a value of Python") from error
