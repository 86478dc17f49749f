"""Heartbeats: what each rank publishes for the watchdogs of the others, and which rank hangs."""

import json
import sys
import threading
from dataclasses import asdict, dataclass
from typing import NamedTuple


@dataclass(frozen=True)
class Heartbeat:
    """The state of one rank.

    Attributes:
        sent: the sender's clock; receivers only look for a change.
        progress: number of activities so far.
        activity: the current activity, in words.
        age: seconds since the activity began.
        waiting: whether the rank is inside one of torch's collectives.
        exit_reason: `None` while it runs, "" once it has done its part, else its error.
    """

    sent: float
    progress: int
    activity: str
    age: float
    waiting: bool
    exit_reason: str | None

    def to_json(self) -> str:
        """One JSON object."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str | bytes) -> "Heartbeat":
        """The heartbeat that `to_json` has written."""
        return cls(**json.loads(text))


class Received(NamedTuple):
    """The latest heartbeat of a rank, and when it arrived by this process's monotonic clock."""

    heartbeat: Heartbeat
    at: float


def describe_hang(running: dict[int, Heartbeat], limit: float) -> str | None:
    """The rank that hangs, in words; `None` unless every running rank is older than `limit`.

    All ranks but one wait for that one, which has made the least progress. Waiting inside NCCL
    cannot be seen from Python, so the culprit may be one of several.
    """
    if not all(heartbeat.age > limit for heartbeat in running.values()):
        return None

    # A rank outside collectives is more suspect than one inside, then the one with less progress.
    least = min((heartbeat.waiting, heartbeat.progress) for heartbeat in running.values())
    suspects = []
    for rank, heartbeat in sorted(running.items()):
        if (heartbeat.waiting, heartbeat.progress) == least:
            suspects.append(rank)

    name = f"rank {suspects[0]}"
    if len(suspects) > 1:
        name = f"one of the ranks {', '.join(map(str, suspects))}"
    suspect = running[suspects[0]]
    return f"{name} hangs: {suspect.activity}, for {suspect.age:.0f} s (the limit is {limit:.0f})"


def in_collective() -> bool:
    """Whether the main thread is inside one of torch's collectives."""
    frame = sys._current_frames().get(threading.main_thread().ident or 0)
    while frame:
        if "/torch/distributed/" in frame.f_code.co_filename:
            return True
        frame = frame.f_back
    return False
