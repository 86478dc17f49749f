"""How is an untrusted Python program run?

Locally, without any account, in Linux namespaces made by util-linux's `unshare`, for root and for an ordinary user alike:

    training process ─ unshare ─ process 1 of the sandbox (sh, then timeout) ─ the program

The program gets its own user, network, process ids and IPC, and a file system that holds the Python standard library, read-only,
and an empty /tmp that ends with it. There is no /proc. When process 1 ends, the kernel ends every process of the sandbox.

What remains: the kernel is the wall, there is no filter of system calls. Memory is limited per process, so the sum is
`processes * (memory_mb + 32 * files_mb)`, with what files in memory hold; System V shared memory is not counted where the kernel
does not let a user namespace switch it off (before Linux 5.19). Namespaces cover neither AF_VSOCK, a virtual machine's line to its
host, nor the kernel's keyring of the login session.
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

_SETUP_SECONDS = 30.0  # what a loaded machine may take until the program starts; it takes 0.05
_STDERR_BYTES = 2000
_STARTED = b"started\n"
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

# Tries what must not work, and prints what did not.
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
    """The sandbox itself failed, or is not allowed to start. Says nothing about the program."""


@dataclass(frozen=True)
class Run:
    """What came of a program.

    Attributes:
        status: `ok`, `error` (another exit code than 0, or a signal), `timeout`, `memory` (Python said so) or `output` (too much).
        stdout: at most `Limits.output_kb`.
        stderr: its last 2000 bytes.
    """

    status: str
    stdout: str
    stderr: str


@dataclass(frozen=True)
class Protections:
    """What this machine can keep a program from.

    Attributes:
        launcher: who sets the sandbox up: `root`, `user` (in a user namespace), or `none`.
        missing: the protections that did not hold when they were tried.
        reason: what the last attempt said.
    """

    launcher: str
    missing: tuple[str, ...] = ()
    reason: str = ""

    def __str__(self) -> str:
        if self.launcher == "none":
            return "code sandbox: UNPROTECTED, own session and folder, limits on time, memory, output and file size only"
        user = "user namespace" if self.launcher == "user" else "own user"
        return (
            f"code sandbox: {user}, no network, own process ids, read-only files, "
            "limits on time, memory, output, files and processes"
        )


@cache
def protections() -> Protections:
    """Tries them all, once, with a program that attacks the sandbox. Takes 0.2 s."""
    if not sys.platform.startswith("linux"):
        return Protections("none", _PROBED, "namespaces need Linux")
    missing, reason = _PROBED, ""
    limits = Limits(memory_mb=256)
    with socket.create_server(("127.0.0.1", 0)) as server, tempfile.NamedTemporaryFile() as secret:
        os.chmod(secret.name, 0o644)
        questions = f"{secret.name} {server.getsockname()[1]} {PREFIX} {limits.memory_mb} {limits.processes}"
        for launcher in ("root", "user") if os.geteuid() == 0 else ("user",):
            try:
                result = _run(_PROBE, questions, limits, launcher)
            except SandboxError as error:
                reason = str(error)
                continue
            missing, reason = (
                tuple(name for name in _PROBED if name not in result.stdout.splitlines()),
                result.stderr,
            )
            if not missing:
                return Protections(launcher)
    return Protections("none", missing, reason)


def run_program(
    program: str, stdin: str = "", limits: Limits | None = None, unprotected: bool = False
) -> Run:
    """Runs `program`, a whole Python file, on `stdin`.

    Raises `SandboxError` if the sandbox failed, or if this machine lacks a protection and `unprotected` is false.
    """
    return _run(program, stdin, limits or Limits(), require_protections(unprotected).launcher)


def require_protections(unprotected: bool) -> Protections:
    """The machine's protections. Raises `SandboxError` where one is missing and `unprotected` does not allow it."""
    found = protections()
    if found.launcher == "none" and not unprotected:
        raise SandboxError(
            f"this machine cannot run untrusted programs safely, missing: {', '.join(found.missing)} ({found.reason.strip()}). "
            "It needs Linux with util-linux 2.38 and user namespaces (sysctl user.max_user_namespaces, "
            "kernel.apparmor_restrict_unprivileged_userns; in Docker: --security-opt seccomp=unconfined). "
            "`unprotected: true` runs the model's programs with your own rights, in a temporary folder and with limits only."
        )
    return found


def _run(program: str, stdin: str, limits: Limits, launcher: str) -> Run:
    text = program.encode("utf-8", "replace")
    status, status_end = os.pipe()
    with ExitStack() as stack:
        reported = stack.enter_context(os.fdopen(status, "rb", 0))
        folder = (
            stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True))
            if launcher == "none"
            else "/tmp"
        )
        try:
            process = subprocess.Popen(
                command(launcher, folder, len(text), status_end, limits),
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
                pass_fds=(status_end,),
                start_new_session=True,
            )
        except OSError as error:
            raise SandboxError(f"the sandbox did not start: {error}") from error
        finally:
            os.close(status_end)
        heard: dict[str, bytearray] = {
            "stdout": bytearray(),
            "stderr": bytearray(),
            "status": bytearray(),
        }
        try:
            verdict = _talk(
                process, reported, text + stdin.encode("utf-8", "replace"), limits, heard
            )
        finally:
            _stop(process, launcher, heard["status"])
    stdout, stderr = (
        heard["stdout"].decode("utf-8", "replace"),
        heard["stderr"].decode("utf-8", "replace"),
    )
    if not heard["status"].endswith(_STARTED):
        raise SandboxError(
            f"the sandbox could not be set up: {stderr.strip() or verdict or process.returncode}"
        )
    if verdict:
        return Run(verdict, stdout, stderr)
    if process.returncode < 0 and launcher != "none":  # no signal from inside reaches process 1
        raise SandboxError(f"the sandbox was ended from outside by signal {-process.returncode}")
    failure = "memory" if stderr.rstrip().rpartition("\n")[2].startswith("MemoryError") else "error"
    return Run("ok" if process.returncode == 0 else failure, stdout, stderr)


def _talk(
    process: "subprocess.Popen[bytes]",
    reported: IO[bytes],
    sent: bytes,
    limits: Limits,
    heard: dict[str, bytearray],
) -> str:
    """Feeds the program and listens to it until it ends. Returns the limit that it ran into, or nothing."""
    assert process.stdin and process.stdout and process.stderr
    deadline, output, position = time.monotonic() + _SETUP_SECONDS, 0, 0
    os.set_blocking(process.stdin.fileno(), False)
    with process.stdin, process.stdout, process.stderr, selectors.DefaultSelector() as selector:
        for name, pipe in {
            "stdout": process.stdout,
            "stderr": process.stderr,
            "status": reported,
        }.items():
            selector.register(pipe, selectors.EVENT_READ, name)
        selector.register(process.stdin, selectors.EVENT_WRITE)
        while selector.get_map():
            ready = selector.select(max(0.0, deadline - time.monotonic()))
            if time.monotonic() >= deadline:
                return "timeout"
            for key, _ in ready:
                if key.fileobj is process.stdin:
                    with suppress(BrokenPipeError):
                        position += os.write(key.fd, sent[position : position + 65536])
                        if position < len(sent):
                            continue
                    selector.unregister(process.stdin)
                    process.stdin.close()
                    continue
                chunk = os.read(key.fd, 65536)
                if not chunk:
                    selector.unregister(key.fileobj)
                    continue
                heard[key.data] += chunk
                if key.data == "status":
                    if heard["status"].endswith(_STARTED):
                        deadline = time.monotonic() + limits.timeout_seconds
                    continue
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
            # Process 1, not unshare: its end is reported only when every process of the namespace has ended.
            os.kill(int(status.split()[0]) if status else process.pid, signal.SIGKILL)
    process.wait()
