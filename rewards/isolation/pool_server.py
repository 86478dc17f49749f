"""Starts, watches and kills the workers of a pool; only rewards/isolation/pool.py runs it.

Nothing is left behind: the server ends when its pipe closes, which happens however the training
process ends. An idle worker ends when the server's pipe closes, and one that hangs is ended by a
timer of the kernel.

A task's limit is CPU time, which a busy machine does not take away from it: the same task has the
same outcome on an idle core and beside eight busy ones.
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
from collections.abc import Iterable
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any, TypedDict

MAX_DESCRIPTORS = 1024

# The backstop for a task that waits instead of computing: seconds for each second of its CPU time,
# because a busy machine may give it no more than a hundredth of a core.
WALL_SECONDS_PER_CPU_SECOND = 100

# The signals of the timers of a worker; their default action ends it.
TIMER_SIGNALS = (signal.SIGPROF, signal.SIGALRM)


class Reply(TypedDict, total=False):
    """The outcome of a task, as the JSON that is sent: exactly one of these keys.

    Keys:
        value: what the function returned.
        limit: true if the task ran into a limit.
        error: the exception that the function raised.
    """

    value: Any
    limit: bool
    error: str


OVER_LIMIT = Reply(limit=True)


@dataclass(eq=False)
class Worker:
    """A forked process that runs one task after the other."""

    process: Any
    connection: Connection
    task: int = -1
    deadline: float = 0.0


class Server:
    """Runs batches of tasks on at most `count` workers."""

    def __init__(
        self, connection: Connection, timeout_seconds: float, memory_mb: int, count: int
    ) -> None:
        self.connection = connection
        self.timeout_seconds = timeout_seconds
        self.memory_mb = memory_mb
        self.count = count
        self.idle: list[Worker] = []
        self.busy: dict[Any, Worker] = {}  # by connection

    def serve(self) -> None:
        """Answers batches until the training process closes its end."""
        loaded: set[str] = set()
        try:
            while True:
                function, tasks = json.loads(self.connection.recv_bytes())
                # Imported once; the first batch of a module costs its import.
                module = function.partition(":")[0]
                if module not in loaded:
                    loaded.add(module)
                    self._preload(module)
                replies = Batch(self, function, tasks).run()
                self.connection.send_bytes(json.dumps(replies).encode())
        except (EOFError, OSError):
            pass  # the training process has ended
        finally:
            for worker in [*self.idle, *self.busy.values()]:
                self.end(worker)

    def _preload(self, module: str) -> None:
        """Imports a module here, so that every worker has it from its first moment.

        If it has a function `warm_up`, that runs here too: the first task must not pay for it.
        """
        imported = importlib.import_module(module)
        getattr(imported, "warm_up", lambda: None)()
        # Idle workers were forked without it.
        while self.idle:
            self.end(self.idle.pop())

    def get_worker(self) -> Worker:
        """An idle worker, or a new one."""
        return self.idle.pop() if self.idle else self._start()

    def end(self, worker: Worker) -> None:
        """Kills a worker."""
        worker.process.kill()
        worker.process.join()
        worker.connection.close()

    def _start(self) -> Worker:
        """Forks a worker and waits until it is ready."""
        ours, theirs = multiprocessing.Pipe()
        context = multiprocessing.get_context("fork")  # this process has one thread and no CUDA
        arguments = (theirs, self.timeout_seconds, self.memory_mb)
        process = context.Process(target=work, args=arguments, daemon=True)
        process.start()
        theirs.close()
        # A worker that cannot even start ends the server: that is not the fault of an answer.
        ours.recv_bytes()
        return Worker(process, ours)


class Batch:
    """One batch of tasks on its way through the workers of a server."""

    def __init__(self, server: Server, function: str, tasks: list[list[Any]]) -> None:
        self.server = server
        self.function = function
        self.tasks = tasks
        self.replies: list[Reply] = [{} for _ in tasks]
        self.pending = deque(range(len(tasks)))
        self.retried: set[int] = set()

    def run(self) -> list[Reply]:
        """The replies of all tasks, in order. Raises `EOFError` if nobody waits for them."""
        busy = self.server.busy
        while self.pending or busy:
            # Keep every worker busy.
            while self.pending and len(busy) < self.server.count:
                self._hand_out()
            # Sleep until a worker replies, the pipe closes, or the first deadline passes.
            next_deadline = min(worker.deadline for worker in busy.values())
            timeout = max(0.0, next_deadline - time.monotonic())
            self._take_in(wait([self.server.connection, *busy], timeout))
            self._end_overdue()
        return self.replies

    def _hand_out(self) -> None:
        """Gives the next task to a worker."""
        worker = self.server.get_worker()
        request = json.dumps([self.function, self.tasks[self.pending[0]]]).encode()
        try:
            worker.connection.send_bytes(request)
        except OSError:  # killed while it was idle
            self.server.end(worker)
            return
        # The task counts as handed out only now, and its clock starts now.
        worker.task = self.pending.popleft()
        worker.deadline = time.monotonic() + wall_limit(self.server.timeout_seconds)
        self.server.busy[worker.connection] = worker

    def _take_in(self, ready: Iterable[Any]) -> None:
        """Takes the replies of the workers that have one."""
        for connection in ready:
            # The training process sends nothing during a batch, so its end of the pipe closed.
            if connection is self.server.connection:
                raise EOFError
            worker = self.server.busy.pop(connection)
            try:
                self.replies[worker.task] = json.loads(worker.connection.recv_bytes())
                self.server.idle.append(worker)
            except (EOFError, OSError):
                self._replace(worker)

    def _replace(self, worker: Worker) -> None:
        """Ends the task of a worker that died of its timer.

        The task of one that was killed from outside runs again, but only once.
        """
        self.server.end(worker)
        ran_out = -worker.process.exitcode in TIMER_SIGNALS
        if ran_out or worker.task in self.retried:
            self.replies[worker.task] = OVER_LIMIT
        else:
            self.retried.add(worker.task)
            self.pending.append(worker.task)

    def _end_overdue(self) -> None:
        """Ends the workers whose task has waited too long."""
        now = time.monotonic()
        overdue = [worker for worker in self.server.busy.values() if worker.deadline <= now]
        for worker in overdue:
            del self.server.busy[worker.connection]
            self.server.end(worker)
            self.replies[worker.task] = OVER_LIMIT


def work(connection: Connection, timeout_seconds: float, memory_mb: int) -> None:
    """The main loop of a worker process."""
    # The ends of other workers' pipes, which this process would keep open.
    os.closerange(3, connection.fileno())
    os.closerange(connection.fileno() + 1, MAX_DESCRIPTORS)
    resource.setrlimit(resource.RLIMIT_AS, (memory_mb << 20, memory_mb << 20))
    connection.send_bytes(b"ready")

    # One task after the other, until the server closes the pipe.
    while True:
        try:
            function, arguments = json.loads(connection.recv_bytes())
        except (EOFError, OSError):
            return
        # The signals' default action ends the process even in the middle of one long
        # multiplication, and needs no other process to be alive.
        signal.setitimer(signal.ITIMER_PROF, timeout_seconds)
        signal.setitimer(signal.ITIMER_REAL, wall_limit(timeout_seconds) + 1)

        # Every ending of the function becomes a reply. A value that is not JSON is an error too.
        try:
            reply = json.dumps({"value": load(function)(*arguments)})
        except (MemoryError, RecursionError):
            reply = json.dumps(OVER_LIMIT)
        except BaseException as error:
            # Not hidden: the pool raises it, and the run stops.
            reply = json.dumps({"error": repr(error)})
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)
        connection.send_bytes(reply.encode())


def wall_limit(timeout_seconds: float) -> float:
    """The wall-clock seconds after which a task is over, however little it has computed."""
    return timeout_seconds * WALL_SECONDS_PER_CPU_SECOND


def load(function: str) -> Any:
    """The function that "module:name" names."""
    module, _, name = function.partition(":")
    return getattr(importlib.import_module(module), name)


if __name__ == "__main__":
    descriptor, timeout, memory, workers = sys.argv[1:]
    pipe = Connection(int(descriptor))
    Server(pipe, float(timeout), int(memory), int(workers)).serve()
