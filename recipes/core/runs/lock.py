"""One run at a time in a folder: a lock file names the process that writes there.

A run that was killed leaves its lock behind. The next one takes it over once it is certain that
the process is gone: on the same machine it looks for the process, a job that Slurm has started
again knows that its first start is over, and for another machine it watches whether the lock is
still renewed.
"""

import atexit
import contextlib
import fcntl
import json
import logging
import os
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from recipes.core.errors import UserError
from recipes.core.files import write_json

logger = logging.getLogger(__name__)

RENEW_SECONDS = 10.0
# A process on another machine that does not renew its lock for so long is gone.
WATCH_SECONDS = 60.0


@dataclass(frozen=True)
class Owner:
    """The process that holds a lock.

    Attributes:
        host: name of its machine.
        pid_namespace: containers of one machine do not see each other's processes.
        process_started: process ids are used again.
        slurm_job: job id and number of restarts; "" outside Slurm.
    """

    host: str
    pid: int
    pid_namespace: str
    process_started: float
    slurm_job: str
    slurm_restarts: int

    @classmethod
    def this_process(cls) -> "Owner":
        """The process that asks."""
        namespace = ""
        with contextlib.suppress(OSError):  # Linux only
            namespace = os.readlink("/proc/self/ns/pid")
        return cls(
            host=socket.gethostname(),
            pid=os.getpid(),
            pid_namespace=namespace,
            process_started=psutil.Process().create_time(),
            slurm_job=os.environ.get("SLURM_JOB_ID", ""),
            slurm_restarts=int(os.environ.get("SLURM_RESTART_COUNT", "0")),
        )


class RunLock:
    """The lock file of a folder or file; held from `acquire` to `release` or the process's end."""

    def __init__(self, artifact: Path) -> None:
        """`artifact` is what the run writes; the lock is the file `<name>.lock` beside it."""
        self.artifact = artifact
        self.path = artifact.with_name(f"{artifact.name}.lock")
        self.owner = Owner.this_process()
        self._pid = self.owner.pid
        self._released = threading.Event()
        self._writing = threading.Lock()

    def acquire(self) -> None:
        """Takes the lock, also from a process that is gone.

        Raises `UserError` if another run holds it.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        while not self._create():
            holder = self._holder()
            if holder and holder != self.owner and self._is_running(holder):
                raise UserError(
                    f"{self.artifact}: another run writes there (process {holder.pid} on "
                    f"{holder.host}); wait for it, or choose another `--output_dir`. "
                    f"If it is gone, remove {self.path}"
                )
            # Unless somebody else has taken it over meanwhile.
            with _guarded(self.path.parent):
                if self._holder() == holder:
                    self.path.unlink(missing_ok=True)
        # Show other machines that this process is still there.
        threading.Thread(target=self._renew, daemon=True).start()
        atexit.register(self.release)

    def release(self) -> None:
        """Removes the lock, if this process holds it."""
        if os.getpid() != self._pid:  # a fork of it, such as a worker of a reward
            return
        atexit.unregister(self.release)
        self._released.set()
        with self._writing:
            if self._holder() == self.owner:
                self.path.unlink(missing_ok=True)

    def _create(self) -> bool:
        """Writes the lock file unless there is one."""
        try:
            with self.path.open("x", encoding="utf-8") as file:
                json.dump(asdict(self.owner), file)
        except FileExistsError:
            return False
        return True

    def _holder(self) -> Owner | None:
        """Who holds the lock; `None` if nobody, or if a kill left half a file."""
        for _ in range(5):
            with contextlib.suppress(ValueError, TypeError):
                values = json.loads(self._content())
                values.pop("renewed", None)
                return Owner(**values)
            if not self.path.exists():
                break
            time.sleep(0.1)  # it may be written just now
        return None

    def _is_running(self, holder: Owner) -> bool:
        """Whether the process that holds the lock is still there."""
        own = self.owner
        if (holder.host, holder.pid_namespace) == (own.host, own.pid_namespace):
            return _has_process(holder)
        # Slurm starts a job again only after its processes have ended.
        is_requeued = holder.slurm_job == own.slurm_job != ""
        if is_requeued and holder.slurm_restarts < own.slurm_restarts:
            return False
        # What the other machine does can only be watched.
        logger.info(
            "%s: process %d on %s held the lock; waiting up to %.0f s to see whether it is there",
            self.artifact,
            holder.pid,
            holder.host,
            WATCH_SECONDS,
        )
        before = self._content()
        deadline = time.monotonic() + WATCH_SECONDS
        while time.monotonic() < deadline:
            time.sleep(min(1.0, WATCH_SECONDS / 10))
            if self._content() != before:
                return True
        return False

    def _content(self) -> str:
        # Opening a file makes a network file system look again.
        with contextlib.suppress(OSError):
            return self.path.read_text(encoding="utf-8")
        return ""

    def _renew(self) -> None:
        """Changes the file from time to time, as long as this process holds the lock."""
        while not self._released.wait(RENEW_SECONDS):
            with self._writing:
                if self._released.is_set() or self._holder() != self.owner:
                    return
                with contextlib.suppress(OSError):  # a full disk is reported where it matters
                    write_json(self.path, asdict(self.owner) | {"renewed": time.time()})


@contextlib.contextmanager
def _guarded(folder: Path) -> Iterator[None]:
    """One process at a time looks at a lock and removes it, where the file system can do that."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _has_process(owner: Owner) -> bool:
    """Whether this machine still runs the process, and not another one with its id."""
    try:
        started = psutil.Process(owner.pid).create_time()
    except psutil.Error:
        return False
    # The clock of the machine may have been set meanwhile.
    return abs(started - owner.process_started) < 5.0
