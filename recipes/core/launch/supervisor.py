"""Starts accelerate, and a vLLM server where one is asked for; forwards signals; leaves nothing running."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import FrameType

import psutil

from recipes.core.launch.vllm_server import Server, check_ports, describe_exit, wait_until_healthy
from recipes.core.paths import ROOT
from recipes.core.runtime.stopping import (
    GRACE_SECONDS,
    LOST,
    PR_SET_CHILD_SUBREAPER,
    STOPPED,
    end_with_parent,
    set_process_option,
)

_SECONDS_AFTER_ERROR = 20.0  # seconds that the other processes have after one has failed


class _Signals:
    """The signals that this process was sent; SIGTERM and its like ask to save, SIGINT to stop."""

    def __init__(self) -> None:
        self.sent: list[int] = []
        for kind in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            if signal.getsignal(kind) != signal.SIG_IGN:  # as under nohup
                signal.signal(kind, self._note)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.sent.append(signal.SIGINT if number == signal.SIGINT else signal.SIGTERM)


def supervise(
    command: list[str], environment: dict[str, str], server: Server | None, processes: int
) -> int:
    """Runs `command`, which starts so many processes here, to its end; returns the launcher's exit code. A second signal ends it
    at once. Raises `UserError` if the server does not come up."""
    signals = _Signals()
    set_process_option(
        PR_SET_CHILD_SUBREAPER, 1
    )  # what its parent leaves behind comes to this process, which ends it
    with tempfile.TemporaryDirectory(prefix="launch-") as name:
        folder = Path(name)
        served, log = None, folder / "vllm.txt"
        try:
            if server:
                check_ports(server)
                with log.open("wb") as output:
                    # Slurm sends SIGTERM to all: the trainer's last step needs the server, which is ended after it.
                    served = _start(server.command, server.environment, output.fileno(), deaf=True)
                wait_until_healthy(served, server, log, lambda: bool(signals.sent))
                if signals.sent:
                    return exit_code(None, signals.sent, {}, processes)
            # torch's agent gives its processes 30 seconds after SIGTERM, which saving may take longer than.
            more = {
                "LAUNCH_FOLDER": name,
                "TORCH_ELASTIC_SHUTDOWN_TIMEOUT": str(round(GRACE_SECONDS)),
            }
            trainer = _start(command, environment | more, None)
            _wait(trainer, served, signals, folder)
            if served and served.poll() is not None and trainer.poll() != 0 and not signals.sent:
                _log(describe_exit(served, log))
                return LOST
            return exit_code(
                trainer.returncode, signals.sent, _read_exit_reasons(folder), processes
            )
        finally:
            _end_all()


def _start(
    command: list[str], environment: dict[str, str], output: int | None, deaf: bool = False
) -> "subprocess.Popen[bytes]":
    def prepare() -> None:
        end_with_parent(signal.SIGKILL if deaf else signal.SIGTERM)
        if deaf:
            signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])

    # In a session of its own: Ctrl-C comes to this process alone, which passes it on once.
    return subprocess.Popen(
        command,
        cwd=ROOT,
        env=os.environ | environment,
        stdout=output,
        stderr=subprocess.STDOUT if output else None,
        start_new_session=True,
        preexec_fn=prepare,
    )


def _wait(
    trainer: "subprocess.Popen[bytes]",
    served: "subprocess.Popen[bytes] | None",
    signals: _Signals,
    folder: Path,
) -> None:
    """Until the trainer and its processes have ended, by themselves or because they were told to."""
    passed_on, deadline = 0, float("inf")
    while trainer.poll() is None or _has_running_children(served):
        if (
            trainer.poll() is not None
        ):  # accelerate was sent a signal, or killed: what it started may be saving
            deadline = min(deadline, time.monotonic() + GRACE_SECONDS)
        if passed_on < len(signals.sent):
            if passed_on:
                return
            passed_on, deadline = 1, time.monotonic() + GRACE_SECONDS
            _pass_on(trainer, signals.sent[0])
        failed = any(
            said["code"] not in (0, STOPPED) for said in _read_exit_reasons(folder).values()
        )
        if failed or (served and served.poll() is not None):
            deadline = min(deadline, time.monotonic() + _SECONDS_AFTER_ERROR)
        if time.monotonic() > deadline:
            return
        time.sleep(0.1)


def _has_running_children(served: "subprocess.Popen[bytes] | None") -> bool:
    """Whether anything but the server still runs below this process."""
    for process in psutil.Process().children():
        with contextlib.suppress(psutil.NoSuchProcess):
            if process.pid != (served and served.pid) and process.status() != psutil.STATUS_ZOMBIE:
                return True
    return False


def _pass_on(trainer: "subprocess.Popen[bytes]", number: int) -> None:
    """To the processes that work: accelerate and torch's agent would end them instead of waiting until they have saved."""
    with contextlib.suppress(psutil.NoSuchProcess):
        agent = psutil.Process(trainer.pid)
        for process in agent.children() or [agent]:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(number)


def _read_exit_reasons(folder: Path) -> dict[int, dict[str, object]]:
    words = {}
    for file in folder.glob("[0-9]*"):
        with contextlib.suppress(ValueError):  # being written
            words[int(file.name)] = json.loads(file.read_text(encoding="utf-8"))
    return words


def exit_code(
    code: int | None, sent: list[int], words: dict[int, dict[str, object]], processes: int
) -> int:
    """What the launcher ends with, and says about it."""
    codes = {rank: said["code"] for rank, said in words.items()}
    if code == 0 and not any(codes.values()):
        return 0
    for known in (
        (2, LOST, 1) if signal.SIGTERM not in sent else ()
    ):  # told to stop, a process may fail as others go
        for rank, said in sorted(words.items()):
            if said["code"] == known:
                if processes > 1:  # a single one has said it last
                    _log(f"rank {rank} ended with {known}: {said['message']}")
                return known
    if sent and sent[0] == signal.SIGINT:
        return 130
    if sent or (len(codes) == processes and set(codes.values()) == {STOPPED}):
        _log(f"stopped; the same command goes on ({STOPPED})")
        return STOPPED
    which = f" ({processes - len(words)} of {processes} here)" if processes > 1 else ""
    _log(
        f"a process ended without saying why{which}: killed from outside, out of memory (`dmesg` tells) or ended by NCCL"
    )
    return LOST if processes > 1 else 1


def _log(text: str) -> None:
    sys.stderr.write(f"launch.sh: {text}\n")


def _end_all() -> None:
    """Ends every process below this one: SIGTERM, and SIGKILL after ten seconds."""
    for number, seconds in ((signal.SIGTERM, 10), (signal.SIGKILL, 10)):
        left = psutil.Process().children(recursive=True)
        for process in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(number)
        if not psutil.wait_procs(left, timeout=seconds)[1]:
            return
