"""Where is untrusted text judged? In worker processes with hard limits, which can be killed without harm.

    pool(Limits(timeout_seconds=1.0, memory_mb=1024)).run("rewards.answers.math_verify_worker:equal", [(gold, answer), ...])

Each training process has one server (pool_server.py): a fresh Python without torch, threads or CUDA, which forks the
workers, so that one that is killed is replaced in milliseconds. It works from any thread, and after a fork or a spawn.
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

MAX_WORKERS = 8  # per training process; judging is a small part of a step


class PoolError(RuntimeError):
    """The pool itself is broken: no verdict can be had, so the run must stop."""


@dataclass(frozen=True)
class Limits:
    """What one task may use. A task that takes more is over, and its worker is replaced.

    Parameters:
        timeout_seconds: by the clock.
        memory_mb: address space of the worker, of which sympy takes about 300.
    """

    timeout_seconds: float
    memory_mb: int

    def __post_init__(self) -> None:
        if not self.timeout_seconds > 0:
            raise ValueError(f"timeout_seconds is {self.timeout_seconds}; write a number above 0")
        if self.memory_mb < 512:
            raise ValueError(f"memory_mb is {self.memory_mb}; write 512 or more")


@dataclass(frozen=True)
class Outcome:
    """What came of a task: the function's value (anything that JSON holds), or `limit` if it ran into a limit."""

    value: Any = None
    limit: bool = False


class Pool:
    """The training process's side of the server."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._lock = threading.RLock()
        self._server: subprocess.Popen[bytes] | None = None
        self._connection: Connection | None = None
        self._remembered: dict[tuple[Any, ...], Outcome] = {}

    def run(self, function: str, tasks: Sequence[tuple[Any, ...]]) -> list[Outcome]:
        """Calls `function` ("module:name") with the arguments of each task, in a worker. Raises `PoolError` if `function` raises
        or the server dies twice."""
        if not tasks:
            return []
        with self._lock:
            try:
                replies = self._ask([function, list(tasks)])
            except PoolError:  # once: someone may have killed the server
                replies = self._ask([function, list(tasks)])
        for task, reply in zip(tasks, replies, strict=True):
            if "error" in reply:
                raise PoolError(f"{function} raised {reply['error']} for {str(task)[:300]}")
        return [Outcome(**reply) for reply in replies]

    def run_once(self, function: str, tasks: Sequence[tuple[Any, ...]]) -> list[Outcome]:
        """`run`, each task once in the life of the pool: for golds."""
        new = [task for task in tasks if (function, *task) not in self._remembered]
        self._remembered.update(
            zip([(function, *task) for task in new], self.run(function, new), strict=True)
        )
        return [self._remembered[(function, *task)] for task in tasks]

    def _ask(self, question: Any) -> Any:
        try:
            connection = self._connection or self._start()
            connection.send_bytes(json.dumps(question).encode())
            return json.loads(connection.recv_bytes())
        except (
            BaseException
        ) as error:  # an interrupt too: the reply to this question must not answer the next one
            status = self.close()
            if isinstance(error, EOFError | OSError):
                raise PoolError(
                    f"the process that judges answers ended with status {status}; it wrote why, above"
                ) from error
            raise

    def _start(self) -> Connection:
        path = [str(Path(__file__).parents[2]), *filter(None, [os.environ.get("PYTHONPATH")])]
        self._connection, theirs = Pipe()
        with theirs:
            arguments = (
                theirs.fileno(),
                self.limits.timeout_seconds,
                self.limits.memory_mb,
                min(MAX_WORKERS, cores()),
            )
            self._server = subprocess.Popen(
                [sys.executable, "-m", "rewards.isolation.pool_server", *map(str, arguments)],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(path)},
                start_new_session=True,  # an interrupt at the terminal is for the training process to handle
            )
        return self._connection

    def close(self) -> int | None:
        """Ends the server and its workers; the next task starts new ones. Returns the server's exit status."""
        with self._lock:
            if self._connection:
                self._connection.close()
            status = self._server.wait() if self._server else None
            self._connection = self._server = None
            return status


def cores() -> int:
    """How many of the machine's cores are this training process's share."""
    here = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    return max(1, here // int(os.environ.get("LOCAL_WORLD_SIZE", "1")))


_pools: dict[Limits, Pool] = {}


def get_pool(limits: Limits) -> Pool:
    """This process's pool with these limits. Its server starts with its first task."""
    return _pools.setdefault(limits, Pool(limits))


def _close_all() -> None:
    for each in _pools.values():
        each.close()


def _after_fork() -> None:
    # The server is the parent's. A forked child that held on to its pipe would keep it alive.
    for each in _pools.values():
        if each._connection:
            each._connection.close()
    _pools.clear()


atexit.register(_close_all)
os.register_at_fork(after_in_child=_after_fork)
