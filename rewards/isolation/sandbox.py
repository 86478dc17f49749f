"""Runs an untrusted Python program in a local sandbox, without any account.

The sandbox is made of Linux namespaces by util-linux's `unshare`, for root and for an ordinary user:

    training process ─ unshare ─ process 1 of the sandbox (sh, then timeout) ─ the program

The program gets its own user, network, process ids and IPC, and a file system with the Python
standard library, read-only, and an empty /tmp that is deleted at the end. There is no /proc. When
process 1 ends, the kernel ends every process of the sandbox.

What remains: the kernel is the wall; system calls are not filtered. Memory is limited per process,
so the sum is `processes * (memory_mb + 32 * files_mb)`, including files in memory. System V shared
memory is not counted where the kernel does not let a user namespace switch it off (before Linux
5.19). Namespaces cover neither AF_VSOCK, a virtual machine's line to its host, nor the kernel's
keyring of the login session.
"""

import os
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import cache
from typing import IO

from rewards.isolation.namespaces import PREFIX, Limits, command

_SETUP_SECONDS = 30.0  # until the program starts, on a loaded machine; usually 0.05
_STDERR_BYTES = 2000
_STARTED = b"started\n"
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

# Tries what must not work, and prints which protections hold.
_PROBE = """
import os, socket, time
secret, port, prefix, memory_mb, processes = input().split()
def fails(action, *args):
    try:
        action(*args)
    except (OSError, MemoryError):
        return True
    return False
def forks():
    for _ in range(int(processes)):
        if os.fork() == 0:
            time.sleep(60)
held = {
    "own user": os.geteuid() != 0 and fails(os.setuid, 0),
    "no network": fails(socket.create_connection, ("127.0.0.1", int(port)), 1),
    "own process ids": os.getppid() == 1 and os.getpid() < 100,
    "read-only files": all(fails(open, f"{folder}/probe", "w") for folder in ("", "/dev", prefix)),
    "no foreign files": fails(open, secret),
    "memory limit": fails(bytearray, int(memory_mb) << 20),
    "process limit": fails(forks),
}
print(*(name for name, holds in held.items() if holds), sep="\\n")
"""
_PROBED: tuple[str, ...] = (
    "own user",
    "no network",
    "own process ids",
    "read-only files",
    "no foreign files",
    "memory limit",
    "process limit",
)


class SandboxError(RuntimeError):
    """The sandbox itself failed, or is not allowed to start; it is not the program's fault."""


@dataclass(frozen=True)
class Run:
    """The result of running a program.

    Attributes:
        status: `ok`, `error` (an exit code other than 0, or a signal), `timeout`, `memory` (Python
            raised a MemoryError) or `output` (too much of it).
        stdout: at most `Limits.output_kb`.
        stderr: its last 2000 bytes.
    """

    status: str
    stdout: str
    stderr: str


@dataclass(frozen=True)
class Protections:
    """What this machine can protect itself from.

    Attributes:
        launcher: who sets the sandbox up: `root`, `user` (in a user namespace), or `none`.
        missing: the protections that did not hold when they were tried.
        reason: the message of the last attempt.
    """

    launcher: str
    missing: tuple[str, ...] = ()
    reason: str = ""

    def __str__(self) -> str:
        if self.launcher == "none":
            return (
                "code sandbox: UNPROTECTED, own session and folder, "
                "limits on time, memory, output and file size only"
            )
        user = "user namespace" if self.launcher == "user" else "own user"
        return (
            f"code sandbox: {user}, no network, own process ids, read-only files, "
            "limits on time, memory, output, files and processes"
        )


@cache
def protections() -> Protections:
    """Tries all protections, once, with a program that attacks the sandbox; takes 0.2 s."""
    if not sys.platform.startswith("linux"):
        return Protections("none", _PROBED, "namespaces need Linux")
    missing = _PROBED
    reason = ""
    limits = Limits(memory_mb=256)
    with socket.create_server(("127.0.0.1", 0)) as server, tempfile.NamedTemporaryFile() as secret:
        os.chmod(secret.name, 0o644)
        port = server.getsockname()[1]
        targets = f"{secret.name} {port} {PREFIX} {limits.memory_mb} {limits.processes}"
        for launcher in ("root", "user") if os.geteuid() == 0 else ("user",):
            try:
                result = _run(_PROBE, targets, limits, launcher)
            except SandboxError as error:
                reason = str(error)
                continue
            holding = result.stdout.splitlines()
            missing = tuple(name for name in _PROBED if name not in holding)
            reason = result.stderr
            if not missing:
                return Protections(launcher)
    return Protections("none", missing, reason)


def run_program(
    program: str, stdin: str = "", limits: Limits | None = None, unprotected: bool = False
) -> Run:
    """Runs `program`, a whole Python file, on `stdin`.

    Raises `SandboxError` if the sandbox failed, or if this machine lacks a protection and
    `unprotected` is false.
    """
    return _run(program, stdin, limits or Limits(), require_protections(unprotected).launcher)


def require_protections(unprotected: bool) -> Protections:
    """The machine's protections.

    Raises `SandboxError` if one is missing and `unprotected` does not allow that.
    """
    found = protections()
    if found.launcher == "none" and not unprotected:
        raise SandboxError(
            "this machine cannot run untrusted programs safely, missing: "
            f"{', '.join(found.missing)} ({found.reason.strip()}). It needs Linux with util-linux "
            "2.38 and user namespaces (sysctl user.max_user_namespaces, "
            "kernel.apparmor_restrict_unprivileged_userns; in Docker: --security-opt "
            "seccomp=unconfined). `unprotected: true` runs the model's programs with your own "
            "rights, in a temporary folder and with limits only."
        )
    return found


def _run(program: str, stdin: str, limits: Limits, launcher: str) -> Run:
    text = program.encode("utf-8", "replace")
    status, status_end = os.pipe()
    with ExitStack() as stack:
        reported = stack.enter_context(os.fdopen(status, "rb", 0))
        folder = "/tmp"
        if launcher == "none":
            temporary = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
            folder = stack.enter_context(temporary)

        # The program comes on standard input; `status_end` reports that the sandbox is set up.
        try:
            words = command(launcher, folder, len(text), status_end, limits)
            process = _start(words, folder, status_end)
        except OSError as error:
            raise SandboxError(f"the sandbox did not start: {error}") from error
        finally:
            os.close(status_end)

        # Talk to it; whatever happens, nothing of it keeps running.
        heard: dict[str, bytearray] = {}
        for name in ("stdout", "stderr", "status"):
            heard[name] = bytearray()
        try:
            sent = text + stdin.encode("utf-8", "replace")
            exceeded = _talk(process, reported, sent, limits, heard)
        finally:
            _stop(process, launcher, heard["status"])
    return _describe(process, launcher, exceeded, heard)


def _start(words: list[str], folder: str, descriptor: int) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        words,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
        cwd="/",
        env={
            "PATH": _PATH,
            "HOME": folder,
            "TMPDIR": folder,
            "LANG": "C.UTF-8",
            "PYTHONHASHSEED": "0",
        },
        pass_fds=(descriptor,),
        start_new_session=True,
    )


def _describe(
    process: "subprocess.Popen[bytes]", launcher: str, exceeded: str, heard: dict[str, bytearray]
) -> Run:
    """The result of a program that has ended. Raises `SandboxError` if the sandbox failed."""
    stdout = heard["stdout"].decode("utf-8", "replace")
    stderr = heard["stderr"].decode("utf-8", "replace")
    if not heard["status"].endswith(_STARTED):
        reason = stderr.strip() or exceeded or process.returncode
        raise SandboxError(f"the sandbox could not be set up: {reason}")
    if exceeded:
        return Run(exceeded, stdout, stderr)
    if process.returncode < 0 and launcher != "none":  # no signal from inside reaches process 1
        raise SandboxError(f"the sandbox was ended from outside by signal {-process.returncode}")
    if process.returncode == 0:
        return Run("ok", stdout, stderr)
    last_line = stderr.rstrip().rpartition("\n")[2]
    status = "memory" if last_line.startswith("MemoryError") else "error"
    return Run(status, stdout, stderr)


def _talk(
    process: "subprocess.Popen[bytes]",
    reported: IO[bytes],
    sent: bytes,
    limits: Limits,
    heard: dict[str, bytearray],
) -> str:
    """Feeds the program and reads its output until it ends.

    Returns the limit that it ran into, or an empty string. `heard` collects stdout, stderr and the
    status that the sandbox reports.
    """
    assert process.stdin and process.stdout and process.stderr
    deadline = time.monotonic() + _SETUP_SECONDS
    output = 0
    position = 0
    os.set_blocking(process.stdin.fileno(), False)
    with process.stdin, process.stdout, process.stderr, selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ, "stdout")
        selector.register(process.stderr, selectors.EVENT_READ, "stderr")
        selector.register(reported, selectors.EVENT_READ, "status")
        selector.register(process.stdin, selectors.EVENT_WRITE)
        while selector.get_map():
            ready = selector.select(max(0.0, deadline - time.monotonic()))
            if time.monotonic() >= deadline:
                return "timeout"
            for key, _ in ready:
                # The program's standard input takes more.
                if key.fileobj is process.stdin:
                    with suppress(BrokenPipeError):
                        position += os.write(key.fd, sent[position : position + 65536])
                        if position < len(sent):
                            continue
                    selector.unregister(process.stdin)
                    process.stdin.close()
                    continue
                # One of its outputs has more, or has ended.
                chunk = os.read(key.fd, 65536)
                if not chunk:
                    selector.unregister(key.fileobj)
                    continue
                heard[key.data] += chunk
                # The clock of the program starts once the sandbox is set up.
                if key.data == "status":
                    if heard["status"].endswith(_STARTED):
                        deadline = time.monotonic() + limits.timeout_seconds
                    continue
                # Too much output ends the program.
                del heard["stderr"][:-_STDERR_BYTES]
                output += len(chunk)
                if output > limits.output_kb << 10:
                    del heard["stdout"][limits.output_kb << 10 :]
                    return "output"
    try:
        process.wait(max(0.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        return "timeout"
    return ""


def _stop(process: "subprocess.Popen[bytes]", launcher: str, status: bytearray) -> None:
    """Returns when nothing of the sandbox is running any more."""
    with suppress(ProcessLookupError, PermissionError):  # ended already; macOS says the latter
        if launcher == "none":
            os.killpg(process.pid, signal.SIGKILL)  # also what the program left in the background
        elif process.poll() is None:
            # Process 1 if it has reported its id, not unshare: its end is reported only once every
            # process of the namespace has ended.
            first = int(status.split()[0]) if status else process.pid
            os.kill(first, signal.SIGKILL)
    process.wait()
