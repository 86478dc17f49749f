"""Reward functions that report to the watchdog when they start and when they have finished.

A process that waits for another one has then come further than the one that still scores, and the
watchdog names the right one.
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

    # Two reports around each call.
    @contextlib.contextmanager
    def reported() -> Iterator[None]:
        report_activity(f"step {step()}: scoring with {name}")
        yield
        report_activity(f"step {step()}: scored with {name}")

    # TRL tells async rewards from others by the function itself.
    @functools.wraps(function)
    def score(*args: Any, **kwargs: Any) -> Any:
        with reported():
            return function(*args, **kwargs)

    @functools.wraps(function)
    async def score_async(*args: Any, **kwargs: Any) -> Any:
        with reported():
            return await function(*args, **kwargs)

    return score_async if is_async_callable(function) else score
