"""A user's own rewards, which recipes name by dotted path: `package.module:name`."""

import importlib
from collections.abc import Callable
from typing import Any

from rewards.interface import RewardError


def is_dotted(name: str) -> bool:
    """Whether a reward's name is a path, not a key of `REWARDS`."""
    return ":" in name or "." in name


def split_path(path: str) -> tuple[str, str]:
    """Module and attribute of `package.module:name`, or of TRL's `package.module.name`."""
    separator = ":" if ":" in path else "."
    module_name, _, attribute = path.rpartition(separator)
    return module_name, attribute


def import_callable(path: str) -> Callable[..., Any]:
    """The function or class at a dotted path.

    Raises `RewardError` if it cannot be imported, whatever the user's module raises.
    """
    module_name, attribute = split_path(path)
    try:
        reward = getattr(importlib.import_module(module_name), attribute)
    except Exception as error:
        # The text of these two says what is missing; any other needs its type.
        is_missing = isinstance(error, ImportError | AttributeError)
        problem = str(error) if is_missing else f"{type(error).__name__}: {error}"
        raise RewardError(f"rewards: cannot import {path!r}: {problem}") from error
    if not callable(reward):
        raise RewardError(f"rewards: {path!r} is {reward!r}; write a function or a class")
    return reward
