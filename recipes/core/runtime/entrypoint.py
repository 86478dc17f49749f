"""The start and the end of every stage: console, signals, process group, one-line errors."""

import logging
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import FrameType
from typing import NoReturn

from recipes.core.errors import StopRequested, UserError, one_line
from recipes.core.runtime.console import rank_prefix, setup_console
from recipes.core.runtime.failures import (
    OOM_REMEDY,
    describe_mendable,
    is_communication_failure,
    is_out_of_memory,
)
from recipes.core.runtime.process_group import join_process_group
from recipes.core.runtime.stopping import (
    INTERRUPTED,
    LOST,
    STOPPED,
    USER_ERROR,
    end_with_parent,
    record_exit_reason,
)
from recipes.core.runtime.watchdog import Watchdog, start_watchdog
from rewards import RewardError

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Exit:
    """How a stage ends.

    Attributes:
        code: its exit code.
        reason: for the launcher and the other processes.
        line: the last line that the user sees.
    """

    code: int
    reason: str
    line: str


def run_stage(main: Callable[[], None]) -> None:
    """Runs a stage's `main` in this process, as one of a group.

    Exit codes: 0 on success, 2 for a mistake that the user can fix, 70 if a process of the group
    died or hangs, 75 after SIGTERM, 130 after Ctrl-C. Any other exception keeps its traceback.
    """
    rank = int(os.environ.get("RANK", "0"))
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    setup_console(rank)
    _import_from_current_folder()
    _handle_signals()

    watchdog: Watchdog | None = None
    try:
        # The watchdog needs torch's store. torchrun's agent keeps one; with other launchers rank 0
        # creates it together with the group.
        has_store = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
        if processes == 1 or has_store:
            watchdog = start_watchdog(rank, processes)
        join_process_group(processes)
        watchdog = watchdog or start_watchdog(rank, processes)
        main()
    except (UserError, RewardError, StopRequested, KeyboardInterrupt) as error:
        _leave(describe_exit(error), rank, processes, watchdog)
    except Exception as error:
        # torch's agent has seen the same failure, and may send SIGTERM before this is reported.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        failure = describe_failure(error, watchdog)
        if failure:
            _leave(failure, rank, processes, watchdog)
        # Anything else is a bug: the traceback follows.
        reason = one_line(error, 200)
        record_exit_reason(rank, 1, f"{type(error).__name__}: {reason}")
        if watchdog:
            watchdog.end(reason or type(error).__name__)
        raise
    finally:
        if watchdog and watchdog.exit_reason is None:
            watchdog.end()


def describe_exit(error: BaseException) -> Exit:
    """The end of a stage after a user's mistake, a SIGTERM or Ctrl-C."""
    if isinstance(error, StopRequested):
        reason = str(error)
        return Exit(STOPPED, reason, f"stopped: {reason}the same command resumes the run")
    if isinstance(error, KeyboardInterrupt):
        return Exit(INTERRUPTED, "Ctrl-C", "stopped; the same command resumes from what is written")
    return Exit(USER_ERROR, str(error), f"error: {error}")


def describe_failure(error: Exception, watchdog: Watchdog | None) -> Exit | None:
    """The end of a stage that failed for a known reason; `None` for a bug."""
    text = one_line(error, 200)
    # A failed collective: the cause is another rank, if one is gone.
    if watchdog and is_communication_failure(error):
        lost = _wait_for_lost_ranks(watchdog)
        if lost:
            line = f"error: {lost} is gone, and this process cannot continue without it ({text})"
            return Exit(LOST, f"{lost} is gone", line)
    # Training stages report this themselves, with the keys to change.
    if is_out_of_memory(error):
        reason = f"out of memory: {text}"
        return Exit(USER_ERROR, reason, f"error: {reason}; {OOM_REMEDY}")
    # What the user can mend, whoever noticed it.
    mendable = describe_mendable(error)
    if mendable:
        return Exit(USER_ERROR, mendable, f"error: {mendable}")
    return None


def _wait_for_lost_ranks(watchdog: Watchdog) -> str | None:
    """The ranks that no longer send heartbeats, after every live one has had time to."""
    time.sleep(4 * watchdog.period)
    return watchdog.missing(3 * watchdog.period)


def _leave(end: Exit, rank: int, processes: int, watchdog: Watchdog | None) -> NoReturn:
    """Prints the last line, tells the launcher and the other processes, and exits."""
    # A second SIGTERM has nothing left to stop.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.stderr.write(f"{rank_prefix(rank)}{end.line}\n")
    record_exit_reason(rank, end.code, end.reason)
    was_stopped = end.code == STOPPED
    if watchdog:
        # For the other processes a stop on request is no error.
        watchdog.end("" if was_stopped else end.reason)
    # torch's agent prints a page about every process that does not exit with 0. After a stop on
    # request the launcher reports the right code instead.
    has_launcher = processes > 1 and "LAUNCH_FOLDER" in os.environ
    if was_stopped and has_launcher:
        sys.exit(0)
    sys.exit(end.code)


def _import_from_current_folder() -> None:
    """Puts the current folder first on Python's path, in place of the script's own folder.

    There `evaluate` would be our script and not an installed package. And dotted paths to the
    user's own rewards and datasets are relative to the current folder.
    """
    sys.path[0] = os.getcwd()


def _handle_signals() -> None:
    """SIGTERM raises `StopRequested`, and reaches a launched process also if its parent dies."""
    signal.signal(signal.SIGTERM, _request_stop)
    if "LAUNCH_FOLDER" in os.environ or "TORCHELASTIC_RUN_ID" in os.environ:
        end_with_parent()


def _request_stop(number: int, frame: FrameType | None) -> None:
    raise StopRequested("")
