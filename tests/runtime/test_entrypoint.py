"""The exit code and the last line of a stage, by what ended it."""

import time

import pytest

from recipes.core.errors import StopRequested, UserError
from recipes.core.runtime.entrypoint import Exit, describe_exit, describe_failure
from recipes.core.runtime.heartbeat import Heartbeat, Received
from recipes.core.runtime.watchdog import Watchdog
from rewards import RewardError


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (UserError("a: write b"), Exit(2, "a: write b", "error: a: write b")),
        (RewardError("a: write b"), Exit(2, "a: write b", "error: a: write b")),
        (
            StopRequested("checkpoint-3 is saved; "),
            Exit(
                75,
                "checkpoint-3 is saved; ",
                "stopped: checkpoint-3 is saved; the same command resumes the run",
            ),
        ),
        (
            KeyboardInterrupt(),
            Exit(130, "Ctrl-C", "stopped; the same command resumes from what is written"),
        ),
    ],
)
def test_a_mistake_or_a_request_has_its_exit_code_and_line(error, expected):
    assert describe_exit(error) == expected


def watchdog_of_two(seconds_ago):
    """A watchdog that heard from rank 1 some seconds ago."""
    watchdog = Watchdog(0, 1, lambda reason: None)
    watchdog.processes = 2
    watchdog.period = 0.01
    heartbeat = Heartbeat(0.0, 1, "step 4: generating", 0.0, False, None)
    watchdog.received = {1: Received(heartbeat, time.monotonic() - seconds_ago)}
    return watchdog


def test_a_broken_connection_is_blamed_on_the_rank_that_is_gone():
    error = RuntimeError("[gloo/transport]\n Connection closed by peer")
    end = describe_failure(error, watchdog_of_two(seconds_ago=1))
    assert end.code == 70
    assert end.reason == "rank 1 (step 4: generating) is gone"
    assert end.line == (
        "error: rank 1 (step 4: generating) is gone, and this process cannot continue without it "
        "([gloo/transport] Connection closed by peer)"
    )


@pytest.mark.parametrize(
    ("message", "seconds_ago"),
    [
        ("Connection closed by peer", -60),  # rank 1 lives
        ("shape mismatch", 1),  # no communication
    ],
)
def test_any_other_failure_keeps_its_traceback(message, seconds_ago):
    assert describe_failure(RuntimeError(message), watchdog_of_two(seconds_ago)) is None
    assert describe_failure(RuntimeError(message), None) is None  # before there was a group


def test_running_out_of_memory_is_a_mistake_that_the_user_can_fix():
    end = describe_failure(MemoryError("2 GiB"), None)
    assert (end.code, end.reason) == (2, "out of memory: 2 GiB")
    assert end.line.startswith("error: out of memory: 2 GiB; write a smaller batch_size")
