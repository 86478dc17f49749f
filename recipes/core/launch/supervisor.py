"""Runs accelerate, and a vLLM server beside it; forwards signals; leaves no process behind."""

import contextlib
import math
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import FrameType

import psutil

from recipes.core.launch.command import Launch
from recipes.core.launch.outcome import Outcome, determine_outcome, read_exit_reasons
from recipes.core.launch.vllm_server import Server, check_ports, describe_exit, wait_until_healthy
from recipes.core.runtime.stopping import (
    GRACE_SECONDS,
    LOST,
    PR_SET_CHILD_SUBREAPER,
    STOPPED,
    end_with_parent,
    set_process_option,
)

Process = subprocess.Popen[bytes]

_SECONDS_AFTER_ERROR = 20.0  # for the other processes to end by themselves once one has failed
_POLL_SECONDS = 0.1


class SignalRecorder:
    """Records the signals that ask the launcher to stop, instead of dying of them.

    SIGHUP counts as SIGTERM (save, then stop); SIGINT means stop without saving.
    """

    def __init__(self) -> None:
        self.received: list[int] = []
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            # An ignored signal stays ignored, such as SIGHUP under nohup.
            if signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, self._record)

    def _record(self, number: int, frame: FrameType | None) -> None:
        self.received.append(signal.SIGINT if number == signal.SIGINT else signal.SIGTERM)


def supervise(launch: Launch) -> int:
    """Runs a launch until all of its processes have ended; returns the launcher's exit code.

    The first signal is forwarded and leaves time to save; a second one ends everything at once.
    Raises `UserError` if the vLLM server does not start.
    """
    signals = SignalRecorder()
    # Orphans below this process become its children, so that it can find and end them.
    set_process_option(PR_SET_CHILD_SUBREAPER, 1)
    with tempfile.TemporaryDirectory(prefix="launch-") as folder:
        try:
            outcome = _run(launch, signals, Path(folder))
            if outcome.message:
                sys.stderr.write(f"launch.sh: {outcome.message}\n")
        finally:
            _end_all_children()
    return outcome.code


def _run(launch: Launch, signals: SignalRecorder, folder: Path) -> Outcome:
    """Starts the server and the trainer, waits for them, and finds out how they ended."""
    # The trainer is started once the server answers.
    server = None
    server_log = folder / "vllm.txt"
    if launch.server:
        server = _start_server(launch.server, server_log, signals)
        if signals.received:
            return determine_outcome(None, signals.received, {}, launch.processes)

    environment = launch.environment | {
        # Where each process records why it ends: accelerate's exit code does not tell.
        "LAUNCH_FOLDER": str(folder),
        # After SIGTERM torch's agent kills its processes in 30 seconds; saving may take longer.
        "TORCH_ELASTIC_SHUTDOWN_TIMEOUT": str(round(GRACE_SECONDS)),
    }
    if launch.threads and "OMP_NUM_THREADS" not in os.environ:
        environment["OMP_NUM_THREADS"] = str(launch.threads)
    trainer = _start(launch.command, environment)
    _wait(trainer, server, signals, folder)

    # A server that died explains why the trainer failed.
    failed = trainer.poll() != 0 and not signals.received
    if failed and server and _has_exited(server):
        return Outcome(LOST, describe_exit(server, server_log))
    # Otherwise the processes' own reasons do.
    reasons = read_exit_reasons(folder)
    return determine_outcome(trainer.returncode, signals.received, reasons, launch.processes)


def _start(command: list[str], environment: dict[str, str]) -> Process:
    return subprocess.Popen(
        command,
        env=os.environ | environment,
        # A session of its own: Ctrl-C reaches only the launcher, which forwards it once.
        start_new_session=True,
        preexec_fn=end_with_parent,
    )


def _start_server(server: Server, log: Path, signals: SignalRecorder) -> Process:
    """Starts the vLLM server and waits until it answers, or until a signal arrives."""

    def prepare() -> None:
        end_with_parent(signal.SIGKILL)
        # Slurm sends SIGTERM to every process, but the trainer needs the server for its last step.
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])

    # Its output is long and goes to a file; messages quote the last lines.
    check_ports(server)
    with log.open("wb") as output:
        process = subprocess.Popen(
            server.command,
            env=os.environ | server.environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=prepare,
        )
    wait_until_healthy(process, server, log, lambda: bool(signals.received))
    return process


def _wait(trainer: Process, server: Process | None, signals: SignalRecorder, folder: Path) -> None:
    """Waits until everything but the server has ended, or its time is up."""
    forwarded = False
    deadline = math.inf
    while not _has_exited(trainer) or _has_running_children(server):
        # If accelerate itself was signalled or killed, its processes may still be saving.
        if _has_exited(trainer):
            deadline = min(deadline, time.monotonic() + GRACE_SECONDS)

        # The first signal gives the processes time to save, the second one none.
        if forwarded and len(signals.received) > 1:
            return
        if signals.received and not forwarded:
            forwarded = True
            deadline = time.monotonic() + GRACE_SECONDS
            _forward_signal(trainer, signals.received[0])

        # If a process or the server has failed, the others soon notice by themselves.
        codes = [reason.code for reason in read_exit_reasons(folder).values()]
        process_failed = any(code not in (0, STOPPED) for code in codes)
        server_died = server is not None and _has_exited(server)
        if process_failed or server_died:
            deadline = min(deadline, time.monotonic() + _SECONDS_AFTER_ERROR)

        if time.monotonic() > deadline:
            return
        time.sleep(_POLL_SECONDS)


def _has_exited(process: Process) -> bool:
    return process.poll() is not None


def _has_running_children(server: Process | None) -> bool:
    """Whether this process has a running child other than the server."""
    server_pid = server.pid if server else None
    for process in psutil.Process().children():
        with contextlib.suppress(psutil.NoSuchProcess):
            if process.pid != server_pid and process.status() != psutil.STATUS_ZOMBIE:
                return True
    return False


def _forward_signal(trainer: Process, number: int) -> None:
    """Sends a signal to the stage's processes.

    accelerate and torch's agent are skipped: on a signal they would kill the processes instead of
    waiting until these have saved.
    """
    with contextlib.suppress(psutil.NoSuchProcess):
        agent = psutil.Process(trainer.pid)
        for process in agent.children() or [agent]:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(number)


def _end_all_children() -> None:
    """Ends every process below this one: SIGTERM, then SIGKILL after ten seconds."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        remaining = psutil.Process().children(recursive=True)
        for process in remaining:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(number)
        _, alive = psutil.wait_procs(remaining, timeout=10)
        if not alive:
            return
