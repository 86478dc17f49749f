"""Exit codes of a run, and how a process ends with its parent."""

import ctypes
import json
import os
import signal
import sys

LOST = 70  # exit code


def record_exit_reason(rank: int, code: int, message: str) -> None:
    """Leaves for the launcher why this process ends: accelerate's own exit code is 1 whatever its processes say."""
    if folder := os.environ.get("LAUNCH_FOLDER"):
        with open(os.path.join(folder, str(rank)), "w", encoding="utf-8") as file:
            json.dump({"code": code, "message": message}, file)


STOPPED = 75  # exit code: saved, the same command goes on (EX_TEMPFAIL, "try again")


GRACE_SECONDS = 600.0  # seconds to save in after SIGTERM


PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36  # linux/prctl.h


def end_with_parent(number: int = signal.SIGTERM) -> None:
    """The calling process gets this signal when the one that started it ends in any way. Linux only; elsewhere nothing happens."""
    set_process_option(PR_SET_PDEATHSIG, number)


def set_process_option(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value)
