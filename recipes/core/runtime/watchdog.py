"""What every process of a run does, told to the others: one that dies or hangs ends the run, with its rank and what it did last.

Each process says what it does (`did`). A thread tells the others once a second, through the store in which they met (torch's
TCPStore), and listens to them. Without that a collective waits for a dead process for half an hour, or for ever.
"""

import json
import os
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from recipes.core.runtime.stopping import LOST, record_exit_reason

SILENCE_LIMIT = (
    60.0  # seconds without a word: the process is dead or stopped, or its machine cannot be reached
)


HANG_LIMIT = 7200.0  # seconds in which no process begins anything new; once a training has begun, its key `ddp_timeout`


_HEARTBEAT_PERIOD = 1.0  # seconds


class Watchdog:
    """What this process tells, and what it has heard. `leave` is called with the reason once the run cannot go on."""

    def __init__(self, rank: int, processes: int, leave: Callable[[str], None]) -> None:
        self.rank, self.processes, self.leave = rank, processes, leave
        self.limit, self.began = HANG_LIMIT, time.monotonic()
        self.period = max(
            _HEARTBEAT_PERIOD, processes / 32
        )  # the store of a thousand processes is one process
        self.marks, self.what, self.since = 0, "starting", time.monotonic()
        self.ended: str | None = None  # "" if this process has done its part, else why it could not
        self.heard: dict[
            int, dict[str, Any]
        ] = {}  # what each other rank said last, and `at`: when that was new
        self.round = time.monotonic()  # when the store last answered
        self.store: Any = None
        if processes > 1:
            from datetime import timedelta

            from torch.distributed import TCPStore

            where = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
            self.store = TCPStore(
                *where,
                is_master=False,
                wait_for_workers=False,
                timeout=timedelta(seconds=SILENCE_LIMIT),
            )
            for work in (self._talk, self._guard):  # for a process by itself nobody waits
                threading.Thread(target=work, daemon=True).start()

    def did(self, what: str, alone: bool = False) -> None:
        """Says what this process does from now on. What one does `alone` does not count in how far it has come."""
        self.marks, self.what, self.since = self.marks + (not alone), what, time.monotonic()

    def end(self, error: str = "") -> None:
        """This process says no more: it has done its part, or could not because of `error`."""
        self.ended = error
        if self.store:
            try:
                self._tell()
            except RuntimeError:  # the one that keeps the store has ended, too
                return

    def missing(self, seconds: float) -> str | None:
        """Who has not said anything for `seconds` without having done its part, and what they did last; `None` if nobody."""
        now = time.monotonic()
        lost = [
            f"rank {rank} ({said['ended'] or said['what']})"
            for rank, said in sorted(self.heard.items())
            if now - said["at"] > seconds and said["ended"] != ""
        ]
        return ", ".join(lost) or None

    def _tell(self) -> None:
        self.store.set(
            f"watch/{self.rank}",
            json.dumps(self._state() | {"beat": time.time(), "ended": self.ended}),
        )

    def _state(self) -> dict[str, Any]:
        return {
            "marks": self.marks,
            "what": self.what,
            "age": time.monotonic() - self.since,
            "waits": _in_collective(),
        }

    def _talk(self) -> None:
        others = [rank for rank in range(self.processes) if rank != self.rank]
        while self.ended is None:
            try:
                self._tell()
                known = [
                    rank
                    for rank in others
                    if rank in self.heard or self.store.check([f"watch/{rank}"])
                ]
                answers = self.store.multi_get([f"watch/{rank}" for rank in known]) if known else []
            except (
                RuntimeError
            ):  # what the store raises when its process is gone; the guard knows what that means
                return
            now = self.round = time.monotonic()
            for rank, answer in zip(known, answers, strict=True):
                said = json.loads(answer)
                if said["beat"] != self.heard.get(rank, {}).get("beat"):
                    self.heard[rank] = said | {"at": now}
            time.sleep(self.period)

    def _guard(self) -> None:
        while self.ended is None:
            before = time.monotonic()
            time.sleep(self.period)
            now = time.monotonic()
            if (
                now - before > 10 * self.period
            ):  # this process was suspended, and the others perhaps with it: all start anew
                self.round = self.since = now
                self.heard = {rank: said | {"at": now} for rank, said in self.heard.items()}
            elif self.ended is None and (reason := self._reason()):
                self.leave(reason)
                return

    def _reason(self) -> str | None:
        now = time.monotonic()
        if self.store and now - self.round > SILENCE_LIMIT:
            host = os.environ["MASTER_ADDR"]
            return f"the machine of rank 0 ({host}) has not answered for {SILENCE_LIMIT:.0f} s; this process: {self.what}"
        if lost := self.missing(SILENCE_LIMIT):
            return f"nothing heard for {SILENCE_LIMIT:.0f} s of {lost}"
        for rank, said in sorted(self.heard.items()):
            if (
                said["ended"] and now - said["at"] > 10
            ):  # by then this process would have failed by itself, and said more
                return f"rank {rank} has ended: {said['ended']}"
        never = set(range(self.processes)) - set(self.heard) - {self.rank}
        if never and now - self.began > self.limit:
            return f"never heard of rank {min(never)} in {self.limit:.0f} s"
        working = {rank: said for rank, said in self.heard.items() if said["ended"] is None} | {
            self.rank: self._state()
        }
        if all(said["age"] > self.limit for said in working.values()):
            # All but one of them wait for that one, which came least far. NCCL's waiting is not seen, so it may be one of several.
            least = min((said["waits"], said["marks"]) for said in working.values())
            ranks = [
                rank
                for rank, said in sorted(working.items())
                if (said["waits"], said["marks"]) == least
            ]
            who = (
                f"rank {ranks[0]}"
                if len(ranks) == 1
                else f"one of the ranks {', '.join(map(str, ranks))}"
            )
            said = working[ranks[0]]
            return f"{who} hangs: {said['what']}, for {said['age']:.0f} s (the limit is {self.limit:.0f})"
        return None


def _in_collective() -> bool:
    """Whether the main thread is in one of torch's collectives."""
    frame = sys._current_frames().get(threading.main_thread().ident or 0)
    while frame:
        if "/torch/distributed/" in frame.f_code.co_filename:
            return True
        frame = frame.f_back
    return False


_watchdog: Watchdog | None = None


def start_watchdog(rank: int, processes: int) -> Watchdog:
    """Watches the run from now on."""
    global _watchdog

    def leave(reason: str) -> None:
        sys.stderr.write(f"[rank {rank}] error: {reason}\n")
        sys.stderr.flush()
        record_exit_reason(rank, LOST, reason)
        os._exit(LOST)  # the main thread may wait in a collective, where no exception reaches it

    _watchdog = Watchdog(rank, processes, leave)
    return _watchdog


def report_activity(what: str, alone: bool = False) -> None:
    """As `Watch.did`."""
    if _watchdog:
        _watchdog.did(what, alone)


def set_hang_limit(seconds: float) -> None:
    """After so many seconds in which nothing new was begun, the run hangs."""
    if _watchdog:
        _watchdog.limit = seconds
