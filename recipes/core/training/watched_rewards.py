"""Reward functions that report to the watchdog before and after they score.

A rank that has scored, and waits for the others, has then made more progress than one that is
still scoring, so the watchdog blames the right one.
"""

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Any

from trl.trainer.utils import is_async_callable

from recipes.core.runtime.watchdog import report_activity


def watch_reward(
    name: str, function: Callable[..., Any], step: Callable[[], int]
) -> Callable[..., Any]:
    """`function` with reports; async if `function` is. `step` returns the current step."""

    # One report before and one after each call.
    @contextlib.contextmanager
    def reported() -> Iterator[None]:
        report_activity(f"step {step()}: scoring with {name}")
        yield
        report_activity(f"step {step()}: scored with {name}")

    # The same wrapper in both forms; TRL reads the name of the function.
    @functools.wraps(function)
    def score(*args: Any, **kwargs: Any) -> Any:
        with reported():
            return function(*args, **kwargs)

    @functools.wraps(function)
    async def score_async(*args: Any, **kwargs: Any) -> Any:
        with reported():
            return await function(*args, **kwargs)

    # TRL awaits a reward if the function itself is async.
    if is_async_callable(function):
        return score_async
    return score
