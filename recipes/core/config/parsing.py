"""Turns the values of keys into an instance of a dataclass, each with the type of its field."""

import argparse
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import fields
from functools import partial
from typing import Any, TypeVar

from trl.scripts.utils import TrlParser

from recipes.core.config.yaml_files import YamlKeys
from recipes.core.errors import UserError, one_line

Arguments = TypeVar("Arguments")

_OPTION = re.compile(r"argument --(\w+)")  # matches: argument --seed: invalid int value: 'many'


def parse_arguments(
    cls: type[Arguments],
    keys: YamlKeys,
    command_line: list[str],
    overrides: Mapping[str, Any],
    source_of: Callable[[str | None], str],
) -> Arguments:
    """The instance of the dataclass `cls` that holds its keys.

    Args:
        keys: of the YAML.
        command_line: words that win over them.
        overrides: values that win over both.
        source_of: the file or the command line that sets a key, for messages; of `None`, all.

    Raises `UserError` if a value has the wrong type or values contradict each other.
    """
    parser = TrlParser(cls, allow_abbrev=False)  # type: ignore[arg-type]

    # argparse would print its usage, which is hundreds of lines of TRL's keys, and exit.
    def raise_user_error(message: str) -> None:
        option = _OPTION.match(message)
        raise UserError(f"{source_of(option[1] if option else None)}: {message}")

    parser.error = raise_user_error  # type: ignore[method-assign,assignment]

    # argparse checks the type of a default only if it is a string: as strings, all numbers are
    # checked against their key's type, and a key that holds text gets what is written, `no` and
    # not False.
    defaults = {key: _number_as_text(value) for key, value in keys.values.items()}
    for action in parser._actions:
        if getattr(action.type, "__name__", "") == "int":
            action.type = partial(whole_number, action.type)
        if _holds_text(action) and _is_text(keys.written.get(action.dest)):
            defaults[action.dest] = keys.written[action.dest]
    parser.set_defaults_with_config(**defaults)
    try:
        namespace, _ = parser.parse_known_args(command_line)
    except argparse.ArgumentTypeError as error:
        raise UserError(f"{source_of(None)}: {error}") from error

    # TRL and transformers check combinations of keys in __post_init__.
    names = {f.name for f in fields(cls) if f.init}  # type: ignore[arg-type]
    arguments = vars(namespace) | dict(overrides)
    try:
        return cls(**{key: value for key, value in arguments.items() if key in names})
    except (ValueError, TypeError) as error:
        raise UserError(f"{source_of(None)}: {one_line(error)}") from error


def whole_number(integer: Any, text: str) -> Any:
    """What `integer`, argparse's type of a key, reads in `text`, which may also be 1e3."""
    try:
        return integer(text)
    except ValueError:
        pass
    # Raises what argparse turns into a message.
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not number.is_integer():
        raise argparse.ArgumentTypeError(f"invalid int value: {text!r}")
    return int(number)


def _number_as_text(value: Any) -> Any:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return str(value) if is_number else value


def _holds_text(action: argparse.Action) -> bool:
    """Whether a key's values are text: any, or one of a few words."""
    return action.type is str or action.choices is not None


def _is_text(written: Any) -> bool:
    """Whether what a YAML holds for a key is a text or a list of texts."""
    if isinstance(written, list):
        return all(isinstance(entry, str) for entry in written)
    return isinstance(written, str)
