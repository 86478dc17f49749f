"""A pool of worker processes with hard limits, in which untrusted text is scored.

    pool = get_pool(Limits(timeout_seconds=1.0, memory_mb=1024))
    pool.run("rewards.answers.math_verify_worker:equal", [(gold, answer), ...])

Each training process has one server (pool_server.py): a fresh Python without torch, threads or
CUDA, which forks the workers, so that one that is killed is replaced in milliseconds. It works from
any thread, and after a fork or a spawn.
"""

import atexit
import json
import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

MAX_WORKERS = 8  # per training process; scoring is a small part of a step
MIN_MEMORY_MB = 512

Task = tuple[Any, ...]  # arguments of one call, which JSON can hold


class PoolError(RuntimeError):
    """The pool itself is broken: nothing can be scored, so the run must stop."""


@dataclass(frozen=True)
class Limits:
    """What one task may use. A task that takes more is over, and its worker is replaced.

    Parameters:
        timeout_seconds: CPU time, so that a busy machine changes no outcome. One that waits
            instead of computing is over after a hundred times as many seconds.
        memory_mb: address space of the worker, of which sympy takes about 300.
    """

    timeout_seconds: float
    memory_mb: int

    def __post_init__(self) -> None:
        if not self.timeout_seconds > 0:
            raise ValueError(f"timeout_seconds is {self.timeout_seconds}; write a number above 0")
        if self.memory_mb < MIN_MEMORY_MB:
            raise ValueError(f"memory_mb is {self.memory_mb}; write {MIN_MEMORY_MB} or more")


@dataclass(frozen=True)
class Outcome:
    """The result of a task.

    Attributes:
        value: what the function returned, anything that JSON holds.
        limit: whether the task ran into a limit; then there is no value.
    """

    value: Any = None
    limit: bool = False


class Pool:
    """The training process's side of the server."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._lock = threading.RLock()
        self._server: subprocess.Popen[bytes] | None = None
        self._connection: Connection | None = None
        self._remembered: dict[Task, Outcome] = {}

    def run(self, function: str, tasks: Sequence[Task]) -> list[Outcome]:
        """Calls `function` ("module:name") with the arguments of each task, in workers.

        Raises `PoolError` if `function` raises, or if the server dies twice.
        """
        if not tasks:
            return []
        # A server that someone killed is replaced, once. If it dies again, the run stops.
        request = [function, list(tasks)]
        with self._lock:
            try:
                replies = self._request(request)
            except PoolError:
                replies = self._request(request)

        # An exception in a worker is a bug of the function, never a score.
        for task, reply in zip(tasks, replies, strict=True):
            if "error" in reply:
                raise PoolError(f"{function} raised {reply['error']} for {str(task)[:300]}")
        return [Outcome(**reply) for reply in replies]

    def run_once(self, function: str, tasks: Sequence[Task]) -> list[Outcome]:
        """Like `run`, but each task only once in the life of the pool: for gold answers.

        A task that ran into a limit has no outcome to remember; it is tried again next time.
        """
        new = [task for task in tasks if (function, *task) not in self._remembered]
        outcomes = dict(zip(new, self.run(function, new), strict=True))
        for task, outcome in outcomes.items():
            if not outcome.limit:
                self._remembered[(function, *task)] = outcome
        return [outcomes.get(task) or self._remembered[(function, *task)] for task in tasks]

    def close(self) -> int | None:
        """Ends the server and its workers, and returns the server's exit status.

        The next task starts new ones.
        """
        with self._lock:
            if self._connection:
                self._connection.close()
            status = self._server.wait() if self._server else None
            self._connection = None
            self._server = None
            return status

    @property
    def server_pid(self) -> int | None:
        """The process id of the server, if it runs."""
        return self._server.pid if self._server else None

    def disown(self) -> None:
        """Lets go of a server that belongs to the parent of this forked process.

        A child that kept the pipe open would keep the server alive.
        """
        if self._connection:
            self._connection.close()

    def _request(self, request: Any) -> Any:
        """Sends a batch of tasks and waits for the replies."""
        try:
            connection = self._connection or self._start()
            connection.send_bytes(json.dumps(request).encode())
            return json.loads(connection.recv_bytes())
        except BaseException as error:
            # An interrupt too: a late reply to this request must not answer the next one.
            status = self.close()
            if isinstance(error, EOFError | OSError):
                raise PoolError(
                    f"the process that scores answers ended with status {status}; "
                    "its own message is above"
                ) from error
            raise

    def _start(self) -> Connection:
        """Starts the server and returns this side of its pipe."""
        # The server imports this repository wherever the training process was started; with -P not
        # even a folder `rewards` of the user's own project, in the current folder, is in the way.
        python_path = [str(Path(__file__).parents[2])]
        if os.environ.get("PYTHONPATH"):
            python_path.append(os.environ["PYTHONPATH"])

        # Apart from standard output and error, it inherits only its end of the pipe. This process
        # closes its copy of that end, so that the pipe breaks when the server dies.
        self._connection, server_side = Pipe()
        with server_side:
            arguments = (
                server_side.fileno(),
                self.limits.timeout_seconds,
                self.limits.memory_mb,
                min(MAX_WORKERS, cores()),
            )
            self._server = subprocess.Popen(
                [sys.executable, "-P", "-m", "rewards.isolation.pool_server", *map(str, arguments)],
                pass_fds=[server_side.fileno()],
                stdin=subprocess.DEVNULL,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(python_path)},
                # An interrupt at the terminal is for the training process to handle.
                start_new_session=True,
            )
        return self._connection


def cores() -> int:
    """The cores of the machine that are this training process's share."""
    if sys.platform == "linux":
        available = len(os.sched_getaffinity(0))
    else:
        available = os.cpu_count() or 1
    return max(1, available // int(os.environ.get("LOCAL_WORLD_SIZE", "1")))


_pools: dict[Limits, Pool] = {}  # of this process


def get_pool(limits: Limits) -> Pool:
    """This process's pool with these limits; its server starts with its first task."""
    return _pools.setdefault(limits, Pool(limits))


def _close_all() -> None:
    for pool in _pools.values():
        pool.close()


def _disown_all() -> None:
    for pool in _pools.values():
        pool.disown()
    _pools.clear()


atexit.register(_close_all)
os.register_at_fork(after_in_child=_disown_all)
