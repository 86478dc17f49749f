"""How are workers started, watched and killed? The other side of `rewards.isolation.pool`; nothing else starts it.

Nothing is left behind: the server ends when its pipe closes, which happens however the training process ends; an idle worker
ends when the server's pipe closes, and one that hangs is ended by a timer of the kernel.
"""

import importlib
import json
import multiprocessing
import os
import resource
import signal
import sys
import time
from collections import deque
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any


@dataclass(eq=False)
class Worker:
    """A forked process that judges one task after the other."""

    process: Any
    connection: Connection
    task: int = -1
    deadline: float = 0.0


class Server:
    """Runs batches of tasks on at most `count` workers."""

    def __init__(
        self, connection: Connection, timeout_seconds: float, memory_mb: int, count: int
    ) -> None:
        self.connection, self.timeout_seconds, self.memory_mb, self.count = (
            connection,
            timeout_seconds,
            memory_mb,
            count,
        )
        self.idle: list[Worker] = []
        self.busy: dict[Any, Worker] = {}

    def serve(self) -> None:
        """Answers batches until the training process closes its end."""
        functions = set()
        try:
            while True:
                function, tasks = json.loads(self.connection.recv_bytes())
                if (
                    function not in functions
                ):  # imported here, so that every worker has it from its first moment
                    functions.add(function)
                    _load(function)
                    while self.idle:
                        self._end(self.idle.pop())
                self.connection.send_bytes(json.dumps(self._run(function, tasks)).encode())
        except (EOFError, OSError):
            pass
        finally:
            for worker in [*self.idle, *self.busy.values()]:
                self._end(worker)

    def _run(self, function: str, tasks: list[list[Any]]) -> list[dict[str, Any]]:
        replies: list[dict[str, Any]] = [{} for _ in tasks]
        todo, tried = deque(range(len(tasks))), set()
        while todo or self.busy:
            while todo and len(self.busy) < self.count:
                worker = self.idle.pop() if self.idle else self._start()
                try:
                    worker.connection.send_bytes(json.dumps([function, tasks[todo[0]]]).encode())
                except OSError:  # killed while it was idle
                    self._end(worker)
                    continue
                worker.task, worker.deadline = (
                    todo.popleft(),
                    time.monotonic() + self.timeout_seconds,
                )
                self.busy[worker.connection] = worker
            next_deadline = min(worker.deadline for worker in self.busy.values())
            for ready in wait(
                [self.connection, *self.busy], max(0.0, next_deadline - time.monotonic())
            ):
                if ready is self.connection:
                    raise EOFError  # nobody waits for this batch any more
                worker = self.busy.pop(ready)
                try:
                    replies[worker.task] = json.loads(worker.connection.recv_bytes())
                    self.idle.append(worker)
                except (
                    EOFError,
                    OSError,
                ):  # killed from outside: its task is done again, but not for ever
                    self._end(worker)
                    if worker.task in tried:
                        replies[worker.task] = {"limit": True}
                    else:
                        tried.add(worker.task)
                        todo.append(worker.task)
            for worker in [
                worker for worker in self.busy.values() if worker.deadline <= time.monotonic()
            ]:
                del self.busy[worker.connection]
                self._end(worker)
                replies[worker.task] = {"limit": True}
        return replies

    def _start(self) -> Worker:
        ours, theirs = multiprocessing.Pipe()
        context = multiprocessing.get_context("fork")  # this process has one thread and no CUDA
        process = context.Process(
            target=_work, args=(theirs, self.timeout_seconds, self.memory_mb), daemon=True
        )
        process.start()
        theirs.close()
        ours.recv_bytes()  # a worker that cannot even start ends the server: that is no verdict on an answer
        return Worker(process, ours)

    def _end(self, worker: Worker) -> None:
        worker.process.kill()
        worker.process.join()
        worker.connection.close()


def _work(connection: Connection, timeout_seconds: float, memory_mb: int) -> None:
    os.closerange(
        3, connection.fileno()
    )  # the ends of the other workers' pipes, which would keep them open
    os.closerange(connection.fileno() + 1, 1024)
    resource.setrlimit(resource.RLIMIT_AS, (memory_mb << 20, memory_mb << 20))
    connection.send_bytes(b"ready")
    while True:
        try:
            function, arguments = json.loads(connection.recv_bytes())
        except (EOFError, OSError):
            return
        # Its default action ends the process, even in the middle of one long multiplication, and needs no one else alive.
        signal.setitimer(signal.ITIMER_REAL, timeout_seconds + 1)
        try:
            reply = json.dumps({"value": _load(function)(*arguments)})
        except (MemoryError, RecursionError):
            reply = json.dumps({"limit": True})
        except BaseException as error:  # not hidden: the pool raises it, and the run stops
            reply = json.dumps({"error": repr(error)})
        signal.setitimer(signal.ITIMER_REAL, 0)
        connection.send_bytes(reply.encode())


def _load(function: str) -> Any:
    module, _, name = function.partition(":")
    return getattr(importlib.import_module(module), name)


if __name__ == "__main__":
    fd, timeout, memory, workers = sys.argv[1:]
    Server(Connection(int(fd)), float(timeout), int(memory), int(workers)).serve()
