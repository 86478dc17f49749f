"""How a stage starts and ends: console, signals, process group, and errors in one line."""

import logging
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import FrameType
from typing import NoReturn

from recipes.core.errors import StopRequested, UserError
from recipes.core.runtime.console import setup_console
from recipes.core.runtime.failures import (
    OOM_REMEDY,
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
    """How a stage ends: its exit code, what the other processes are told, and what is printed."""

    code: int
    reason: str
    line: str


def run_stage(main: Callable[[], None]) -> None:
    """Runs a stage's `main` in this process, as one of a group.

    Exit codes: 0, or 2 for a mistake that the user can fix, 70 if a process of the group died or
    hangs, 75 after SIGTERM, 130 after Ctrl-C. Any other exception keeps its traceback.
    """
    rank = int(os.environ.get("RANK", "0"))
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    setup_console(rank)
    _use_current_folder_for_imports()
    _handle_signals()

    # The watchdog meets the others in torch's store. torchrun's agent keeps one; other starters
    # leave that to rank 0, which makes it together with the group.
    watchdog: Watchdog | None = None
    has_store = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
    try:
        if processes == 1 or has_store:
            watchdog = start_watchdog(rank, processes)
        join_process_group(processes)
        watchdog = watchdog or start_watchdog(rank, processes)
        main()
    except (UserError, RewardError, StopRequested, KeyboardInterrupt) as error:
        _leave(describe_exit(error), rank, processes, watchdog)
    except Exception as error:
        # torch's agent has seen the same failure, and may be quicker to end this process.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        failure = describe_failure(error, watchdog)
        if failure:
            _leave(failure, rank, processes, watchdog)
        reason = _one_line(error)
        record_exit_reason(rank, 1, f"{type(error).__name__}: {reason}")
        if watchdog:
            watchdog.end(reason or type(error).__name__)
        raise
    finally:
        if watchdog and watchdog.exit_reason is None:
            watchdog.end()


def describe_exit(error: BaseException) -> Exit:
    """The end of a stage that a user's mistake or request ended."""
    if isinstance(error, StopRequested):
        reason = str(error)
        return Exit(STOPPED, reason, f"stopped: {reason}the same command resumes the run")
    if isinstance(error, KeyboardInterrupt):
        return Exit(INTERRUPTED, "Ctrl-C", "stopped; the same command resumes from what is written")
    return Exit(USER_ERROR, str(error), f"error: {error}")


def describe_failure(error: Exception, watchdog: Watchdog | None) -> Exit | None:
    """The end of a stage that lost another process or ran out of memory; `None` for a bug."""
    text = _one_line(error)
    # A collective failed: name the rank that is gone, if one is.
    if watchdog and is_communication_failure(error):
        time.sleep(4 * watchdog.period)  # by then every live rank has sent a heartbeat
        lost = watchdog.missing(3 * watchdog.period)
        if lost:
            line = f"error: {lost} is gone, and this process cannot continue without it ({text})"
            return Exit(LOST, f"{lost} is gone", line)
    # Training stages report this themselves, with the keys to change.
    if is_out_of_memory(error):
        reason = f"out of memory: {text}"
        return Exit(USER_ERROR, reason, f"error: {reason}; {OOM_REMEDY}")
    return None


def _leave(end: Exit, rank: int, processes: int, watchdog: Watchdog | None) -> NoReturn:
    """Prints the last line, tells the launcher and the other processes, and exits."""
    prefix = f"[rank {rank}] " if rank else ""
    sys.stderr.write(f"{prefix}{end.line}\n")
    record_exit_reason(rank, end.code, end.reason)
    if watchdog:
        watchdog.end("" if end.code == STOPPED else end.reason)
    # torch's agent prints a page about a process that exits with an error; one that was stopped
    # as requested ends with 0, and the launcher reports it.
    is_reported = processes > 1 and "LAUNCH_FOLDER" in os.environ
    sys.exit(0 if end.code == STOPPED and is_reported else end.code)


def _use_current_folder_for_imports() -> None:
    """Puts the current folder first on Python's path, where the script's own folder is.

    `evaluate` would otherwise be our script and not an installed package, and dotted paths to the
    user's own rewards and datasets would not be found.
    """
    sys.path[0] = os.getcwd()


def _handle_signals() -> None:
    signal.signal(signal.SIGTERM, _request_stop)
    if "LAUNCH_FOLDER" in os.environ or "TORCHELASTIC_RUN_ID" in os.environ:
        end_with_parent()


def _request_stop(number: int, frame: FrameType | None) -> None:
    raise StopRequested("")


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200]
