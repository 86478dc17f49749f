"""Decides the launcher's exit code from how its processes ended."""

import contextlib
import json
import signal
from pathlib import Path
from typing import NamedTuple

from recipes.core.runtime.stopping import INTERRUPTED, LOST, STOPPED, USER_ERROR


class ExitReason(NamedTuple):
    """Why one process of the stage ended, as it has recorded it itself."""

    code: int
    message: str


class Outcome(NamedTuple):
    """The launcher's exit code, and a line that explains it (or "")."""

    code: int
    message: str = ""


def read_exit_reasons(folder: Path) -> dict[int, ExitReason]:
    """The reasons that `runtime.stopping.record_exit_reason` has written, by rank."""
    reasons = {}
    for file in folder.glob("[0-9]*"):
        with contextlib.suppress(ValueError):  # the file is still being written
            record = json.loads(file.read_text(encoding="utf-8"))
            reasons[int(file.name)] = ExitReason(record["code"], record["message"])
    return reasons


def determine_outcome(
    command_code: int | None, received: list[int], reasons: dict[int, ExitReason], processes: int
) -> Outcome:
    """The outcome of a run.

    Args:
        command_code: exit code of `accelerate launch`, or `None` if it was not started. It only
            tells success from failure: accelerate does not pass on the codes of its processes.
        received: the signals that the launcher received, SIGINT or SIGTERM.
        reasons: by rank, the reasons that processes have recorded.
        processes: how many processes were started on this machine.
    """
    # Success needs both: torch's agent also succeeds if its processes stop early.
    codes = [reason.code for reason in reasons.values()]
    if command_code == 0 and not any(codes):
        return Outcome(0)

    # A failure counts before a stop, except after SIGTERM: then a process may fail because others
    # have left.
    if signal.SIGTERM not in received:
        failure = _first_failure(reasons, processes)
        if failure:
            return failure

    # Stopped from outside: through this launcher, or by a SIGTERM to each of the processes.
    if received and received[0] == signal.SIGINT:
        return Outcome(INTERRUPTED)
    all_stopped = len(codes) == processes and set(codes) == {STOPPED}
    if received or all_stopped:
        return Outcome(STOPPED, f"stopped; run the same command again to resume ({STOPPED})")
    return _unexplained_exit(processes, len(reasons))


def _first_failure(reasons: dict[int, ExitReason], processes: int) -> Outcome | None:
    """The recorded failure that caused the others, or `None`."""
    # From cause to consequence: a user error, a lost process, and any other error.
    for code in (USER_ERROR, LOST, 1):
        for rank, reason in sorted(reasons.items()):
            if reason.code == code:
                # A single process has already printed its message as the last line.
                several = processes > 1
                line = f"rank {rank} exited with code {code}: {reason.message}" if several else ""
                return Outcome(code, line)
    return None


def _unexplained_exit(processes: int, explained: int) -> Outcome:
    """The outcome if a process ended without recording a reason."""
    count = f" ({processes - explained} of {processes} here)" if processes > 1 else ""
    message = (
        f"a process ended without reporting a reason{count}: killed from outside, "
        "out of memory (see `dmesg`), or aborted by NCCL"
    )
    return Outcome(LOST if processes > 1 else 1, message)
