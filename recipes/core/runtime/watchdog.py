"""The watchdog: detects a rank that died or hangs, and ends the run with a reason.

Without it a collective waits for a dead process for half an hour, or for ever. The protocol:

1. The main thread reports each new activity (`report_activity`); their count is its progress.
2. A thread publishes that once a second as a `Heartbeat` in torch's TCPStore, which all share.
3. The same thread polls the store for the heartbeats of the other ranks.
4. A second thread diagnoses: no reply from the store, a rank that is silent or has ended with an
   error, or no new activity on any rank within the limit.
5. With a diagnosis, each process writes it to stderr and for the launcher, and exits with 70.
6. The last heartbeat of a rank that has done its part is marked; its silence is expected.
"""

import os
import sys
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from recipes.core.runtime.heartbeat import Heartbeat, Received, describe_hang, in_collective
from recipes.core.runtime.stopping import LOST, record_exit_reason

SILENCE_LIMIT = 60.0  # seconds without a heartbeat: the rank is dead, suspended or unreachable
HANG_LIMIT = 7200.0  # seconds without a new activity of any rank; in training `ddp_timeout`
ERROR_DELAY = 10.0  # seconds for this process to fail by itself, with a better message
HEARTBEAT_PERIOD = 1.0  # seconds
RANKS_PER_SECOND = 32  # the store is a single process, also for a thousand ranks


class Watchdog:
    """Publishes the heartbeat of this process and watches those of the others.

    Attributes:
        limit: seconds without a new activity of any rank after which the run hangs.
        period: seconds between heartbeats.
        exit_reason: `None` while this process runs, "" once it has done its part, else its error.
    """

    def __init__(self, rank: int, processes: int, abort: Callable[[str], None]) -> None:
        """Starts to watch; `abort` is called with the reason once the run cannot continue."""
        self.rank = rank
        self.processes = processes
        self.abort = abort
        self.limit = HANG_LIMIT
        self.period = max(HEARTBEAT_PERIOD, processes / RANKS_PER_SECOND)
        now = time.monotonic()
        self.started = now

        # This rank.
        self.progress = 0
        self.activity = "starting"
        self.activity_started = now
        self.exit_reason: str | None = None

        # The other ranks. Each entry is replaced as a whole: two threads use it.
        self.received: dict[int, Received] = {}
        self.last_store_reply = now
        self.store: Any = None
        if processes > 1:  # a single process keeps nobody waiting
            self._connect()

    def report(self, activity: str, alone: bool = False) -> None:
        """Reports the activity that this process begins.

        Work that one process does `alone` is no progress, because progress is compared between
        ranks.
        """
        if not alone:
            self.progress += 1
        self.activity = activity
        self.activity_started = time.monotonic()

    def end(self, error: str = "") -> None:
        """Publishes that this process has done its part, or has failed with `error`."""
        self.exit_reason = error
        if self.store:
            try:
                self._publish()
            except RuntimeError:  # the process that keeps the store has ended too
                return

    def missing(self, seconds: float) -> str | None:
        """The ranks that were silent for `seconds` without having done their part.

        Each with its error or its last activity; `None` if there are none.
        """
        now = time.monotonic()
        lost = []
        for rank, (heartbeat, at) in sorted(self.received.items()):
            is_silent = now - at > seconds
            if is_silent and heartbeat.exit_reason != "":
                lost.append(f"rank {rank} ({heartbeat.exit_reason or heartbeat.activity})")
        return ", ".join(lost) or None

    def diagnose(self) -> str | None:
        """Why the run cannot continue; `None` if it can."""
        now = time.monotonic()
        # The store, and with it the machine of rank 0.
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

        # Ranks that ended with an error.
        for rank, (heartbeat, at) in sorted(self.received.items()):
            if heartbeat.exit_reason and now - at > ERROR_DELAY:
                return f"rank {rank} has ended: {heartbeat.exit_reason}"

        # Ranks that have never sent a heartbeat.
        unknown = set(range(self.processes)) - set(self.received) - {self.rank}
        if unknown and now - self.started > self.limit:
            return f"no heartbeat from rank {min(unknown)} in {self.limit:.0f} s"

        # A rank that hangs while all others wait for it.
        running = {self.rank: self._own_heartbeat()}
        for rank, (heartbeat, _) in list(self.received.items()):
            if heartbeat.exit_reason is None:
                running[rank] = heartbeat
        return describe_hang(running, self.limit)

    def _connect(self) -> None:
        """Joins the store of the group and starts both threads."""
        from torch.distributed import TCPStore

        self.store = TCPStore(
            os.environ["MASTER_ADDR"],
            int(os.environ["MASTER_PORT"]),
            is_master=False,
            wait_for_workers=False,
            timeout=timedelta(seconds=SILENCE_LIMIT),
        )
        # Daemon threads: they end with the process.
        for work in (self._exchange, self._watch):
            threading.Thread(target=work, daemon=True).start()

    def _exchange(self) -> None:
        """Thread: publishes and polls heartbeats until this process ends."""
        while self.exit_reason is None:
            try:
                self._publish()
                self._poll()
            except RuntimeError:  # the store is gone; the other thread finds out why
                return
            time.sleep(self.period)

    def _publish(self) -> None:
        self.store.set(_store_key(self.rank), self._own_heartbeat().to_json())

    def _poll(self) -> None:
        """Reads the heartbeats of the other ranks."""
        # Reading a key that was never written would block.
        known = []
        for rank in range(self.processes):
            if rank == self.rank:
                continue
            if rank in self.received or self.store.check([_store_key(rank)]):
                known.append(rank)
        replies = []
        if known:
            replies = self.store.multi_get([_store_key(rank) for rank in known])
        self.last_store_reply = time.monotonic()

        # A heartbeat counts as received when its time stamp changes.
        for rank, reply in zip(known, replies, strict=True):
            heartbeat = Heartbeat.from_json(reply)
            previous = self.received.get(rank)
            if previous is None or heartbeat.sent != previous.heartbeat.sent:
                self.received[rank] = Received(heartbeat, self.last_store_reply)

    def _own_heartbeat(self) -> Heartbeat:
        return Heartbeat(
            sent=time.time(),
            progress=self.progress,
            activity=self.activity,
            age=time.monotonic() - self.activity_started,
            waiting=in_collective(),
            exit_reason=self.exit_reason,
        )

    def _watch(self) -> None:
        """Thread: ends this process once the run cannot continue."""
        while self.exit_reason is None:
            before = time.monotonic()
            time.sleep(self.period)
            now = time.monotonic()
            if now - before > 10 * self.period:
                # This process was suspended, perhaps the others too: silence so far proves nothing.
                self._restart_clocks(now)
                continue
            reason = self.diagnose()
            if reason and self.exit_reason is None:
                self.abort(reason)
                return

    def _restart_clocks(self, now: float) -> None:
        self.last_store_reply = now
        self.activity_started = now
        for rank, (heartbeat, _) in list(self.received.items()):
            self.received[rank] = Received(heartbeat, now)


def _store_key(rank: int) -> str:
    return f"watch/{rank}"


_watchdog: Watchdog | None = None  # of this process


def start_watchdog(rank: int, processes: int) -> Watchdog:
    """Starts the watchdog of this process."""
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
    """Reports the activity that this process begins; see `Watchdog.report`."""
    if _watchdog:
        _watchdog.report(activity, alone)


def set_hang_limit(seconds: float) -> None:
    """Sets the time without a new activity of any rank after which the run hangs."""
    if _watchdog:
        _watchdog.limit = seconds
