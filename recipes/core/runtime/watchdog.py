"""Heartbeat and watchdog: detects ranks that died or hang, and ends the run with a reason.

Without it a collective waits for a dead process for half an hour, or for ever. The protocol:

1. Every process reports what it is doing (`report_activity`), and so how far it has come.
2. A thread publishes that as a heartbeat once a second, in the store where the processes met
   (torch's TCPStore), and reads the heartbeats of the others.
3. A second thread looks for a rank that is silent, that has ended with an error, or for which all
   others have waited too long; then it writes the reason and ends this process with code 70.
"""

import json
import os
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any

from recipes.core.runtime.stopping import LOST, record_exit_reason

SILENCE_LIMIT = 60.0  # seconds without a heartbeat: dead, stopped or unreachable
HANG_LIMIT = 7200.0  # seconds without a new activity of any rank; in training `ddp_timeout`
ERROR_DELAY = 10.0  # seconds in which a process may fail by itself, and report more
_HEARTBEAT_PERIOD = 1.0  # seconds
_RANKS_PER_SECOND = 32  # the store of a thousand processes is a single process


@dataclass(frozen=True)
class Heartbeat:
    """What a rank publishes.

    Attributes:
        sent: the sender's clock; only whether it changes matters.
        progress: number of activities so far.
        activity: what it is doing, in words.
        age: seconds since the activity began.
        waiting: whether it is inside one of torch's collectives.
        exit_reason: `None` while it runs, "" once it has done its part, else its error.
    """

    sent: float
    progress: int
    activity: str
    age: float
    waiting: bool
    exit_reason: str | None


class Watchdog:
    """The heartbeat of this process, and the ones it has received.

    Attributes:
        exit_reason: `None` while this process runs, "" once it has done its part, else its error.
        limit: seconds without a new activity of any rank after which the run hangs.
        period: seconds between heartbeats.
    """

    def __init__(self, rank: int, processes: int, abort: Callable[[str], None]) -> None:
        """`abort` is called with the reason once the run cannot continue."""
        self.rank = rank
        self.processes = processes
        self.abort = abort
        self.limit = HANG_LIMIT
        self.period = max(_HEARTBEAT_PERIOD, processes / _RANKS_PER_SECOND)
        self.exit_reason: str | None = None
        # The other ranks.
        self.heartbeats: dict[int, Heartbeat] = {}  # the latest of each other rank
        self.received: dict[int, float] = {}  # when it was new, by this process's clock
        now = time.monotonic()
        self.started = now
        self.last_store_reply = now
        # This rank.
        self.progress = 0
        self.activity = "starting"
        self.activity_started = now
        self.store: Any = None
        if processes > 1:  # nobody waits for a single process
            self._connect()

    def report(self, activity: str, alone: bool = False) -> None:
        """Reports what this process does from now on.

        What one process does `alone` does not count as progress, which is compared between ranks.
        """
        if not alone:
            self.progress += 1
        self.activity = activity
        self.activity_started = time.monotonic()

    def end(self, error: str = "") -> None:
        """Publishes that this process has done its part, or failed with `error`."""
        self.exit_reason = error
        if self.store:
            try:
                self._publish()
            except RuntimeError:  # the process that keeps the store has ended too
                return

    def missing(self, seconds: float) -> str | None:
        """The ranks that were silent for `seconds` without having done their part.

        Each with what it did last; `None` if there are none.
        """
        now = time.monotonic()
        lost = []
        for rank, heartbeat in sorted(self.heartbeats.items()):
            is_silent = now - self.received[rank] > seconds
            if is_silent and heartbeat.exit_reason != "":
                lost.append(f"rank {rank} ({heartbeat.exit_reason or heartbeat.activity})")
        return ", ".join(lost) or None

    def _connect(self) -> None:
        from torch.distributed import TCPStore

        self.store = TCPStore(
            os.environ["MASTER_ADDR"],
            int(os.environ["MASTER_PORT"]),
            is_master=False,
            wait_for_workers=False,
            timeout=timedelta(seconds=SILENCE_LIMIT),
        )
        # Daemon threads: they end with the process.
        for work in (self._talk, self._watch):
            threading.Thread(target=work, daemon=True).start()

    def _talk(self) -> None:
        """Thread: publishes and polls heartbeats until this process ends."""
        while self.exit_reason is None:
            try:
                self._publish()
                self._poll()
            except RuntimeError:
                # The process that keeps the store is gone; the other thread knows what that means.
                return
            time.sleep(self.period)

    def _publish(self) -> None:
        self.store.set(f"watch/{self.rank}", json.dumps(asdict(self._own_heartbeat())))

    def _poll(self) -> None:
        # A rank that has never written cannot be read without blocking.
        known = []
        for rank in range(self.processes):
            if rank == self.rank:
                continue
            if rank in self.heartbeats or self.store.check([f"watch/{rank}"]):
                known.append(rank)
        replies = self.store.multi_get([f"watch/{rank}" for rank in known]) if known else []
        self.last_store_reply = time.monotonic()
        # A heartbeat counts as received when its time stamp changes.
        for rank, reply in zip(known, replies, strict=True):
            heartbeat = Heartbeat(**json.loads(reply))
            previous = self.heartbeats.get(rank)
            if previous is None or heartbeat.sent != previous.sent:
                self.heartbeats[rank] = heartbeat
                self.received[rank] = self.last_store_reply

    def _own_heartbeat(self) -> Heartbeat:
        return Heartbeat(
            sent=time.time(),
            progress=self.progress,
            activity=self.activity,
            age=time.monotonic() - self.activity_started,
            waiting=_in_collective(),
            exit_reason=self.exit_reason,
        )

    def _watch(self) -> None:
        """Thread: ends this process once the run cannot continue."""
        while self.exit_reason is None:
            before = time.monotonic()
            time.sleep(self.period)
            now = time.monotonic()
            if now - before > 10 * self.period:
                # This process was suspended, perhaps the others with it: all clocks start again.
                self.last_store_reply = now
                self.activity_started = now
                self.received = dict.fromkeys(self.received, now)
                continue
            reason = self._diagnose()
            if reason and self.exit_reason is None:
                self.abort(reason)
                return

    def _diagnose(self) -> str | None:
        """Why the run cannot continue; `None` if it can."""
        now = time.monotonic()
        # The store, and with it rank 0.
        if self.store and now - self.last_store_reply > SILENCE_LIMIT:
            host = os.environ["MASTER_ADDR"]
            return (
                f"the machine of rank 0 ({host}) has not answered for {SILENCE_LIMIT:.0f} s; "
                f"this process: {self.activity}"
            )
        # Ranks that went silent.
        lost = self.missing(SILENCE_LIMIT)
        if lost:
            return f"no heartbeat for {SILENCE_LIMIT:.0f} s from {lost}"
        for rank, heartbeat in sorted(self.heartbeats.items()):
            if heartbeat.exit_reason and now - self.received[rank] > ERROR_DELAY:
                return f"rank {rank} has ended: {heartbeat.exit_reason}"
        # Ranks that were never heard of.
        silent = set(range(self.processes)) - set(self.heartbeats) - {self.rank}
        if silent and now - self.started > self.limit:
            return f"no heartbeat from rank {min(silent)} in {self.limit:.0f} s"
        return self._diagnose_hang()

    def _diagnose_hang(self) -> str | None:
        """Which rank hangs, if no rank has begun a new activity within the limit."""
        running = {self.rank: self._own_heartbeat()}
        for rank, heartbeat in self.heartbeats.items():
            if heartbeat.exit_reason is None:
                running[rank] = heartbeat
        if not all(heartbeat.age > self.limit for heartbeat in running.values()):
            return None

        # All but one wait for that one, which has come least far. NCCL's waiting cannot be seen
        # from Python, so it may be one of several.
        least = min((heartbeat.waiting, heartbeat.progress) for heartbeat in running.values())
        suspects = []
        for rank, heartbeat in sorted(running.items()):
            if (heartbeat.waiting, heartbeat.progress) == least:
                suspects.append(rank)
        name = f"rank {suspects[0]}"
        if len(suspects) > 1:
            name = f"one of the ranks {', '.join(map(str, suspects))}"
        suspect = running[suspects[0]]
        return (
            f"{name} hangs: {suspect.activity}, for {suspect.age:.0f} s "
            f"(the limit is {self.limit:.0f})"
        )


def _in_collective() -> bool:
    """Whether the main thread is inside one of torch's collectives."""
    frame = sys._current_frames().get(threading.main_thread().ident or 0)
    while frame:
        if "/torch/distributed/" in frame.f_code.co_filename:
            return True
        frame = frame.f_back
    return False


_watchdog: Watchdog | None = None  # of this process


def start_watchdog(rank: int, processes: int) -> Watchdog:
    """Starts watching the run."""
    global _watchdog

    def abort(reason: str) -> None:
        sys.stderr.write(f"[rank {rank}] error: {reason}\n")
        sys.stderr.flush()
        record_exit_reason(rank, LOST, reason)
        # The main thread may wait in a collective, where no exception reaches it.
        os._exit(LOST)

    _watchdog = Watchdog(rank, processes, abort)
    return _watchdog


def report_activity(activity: str, alone: bool = False) -> None:
    """Reports what this process does from now on; see `Watchdog.report`."""
    if _watchdog:
        _watchdog.report(activity, alone)


def set_hang_limit(seconds: float) -> None:
    """Sets after how many seconds without a new activity the run hangs."""
    if _watchdog:
        _watchdog.limit = seconds
