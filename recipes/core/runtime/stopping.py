"""Exit codes of a run, and how its processes end together."""

import ctypes
import json
import os
import signal
import sys

# Exit codes of a stage and of the launcher, besides 0 and Python's own 1 (docs/scaling.md).
USER_ERROR = 2  # a mistake that the user can fix, explained in one line
LOST = 70  # a process of the group died or hangs
STOPPED = 75  # saved after SIGTERM; the same command resumes (EX_TEMPFAIL, "try again")
INTERRUPTED = 130  # Ctrl-C

GRACE_SECONDS = 600.0  # time to save in after SIGTERM

# linux/prctl.h
PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36


def record_exit_reason(rank: int, code: int, message: str) -> None:
    """Writes for the launcher why this process ends.

    accelerate exits with 1 whatever the exit codes of its processes are.
    """
    folder = os.environ.get("LAUNCH_FOLDER")
    if folder:
        with open(os.path.join(folder, str(rank)), "w", encoding="utf-8") as file:
            json.dump({"code": code, "message": message}, file)


def end_with_parent(number: int = signal.SIGTERM) -> None:
    """Makes the kernel send this process a signal when its parent ends (Linux only)."""
    set_process_option(PR_SET_PDEATHSIG, number)


def set_process_option(option: int, value: int) -> None:
    """Calls prctl on Linux; does nothing elsewhere."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value)
