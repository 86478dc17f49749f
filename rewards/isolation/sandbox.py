"""Runs an untrusted Python program in a local sandbox, without any account.

The sandbox consists of Linux namespaces made by util-linux's `unshare`, for root and for an
ordinary user alike:

    training process ─ unshare ─ process 1 of the sandbox (sh, then timeout) ─ the program

The program gets its own user, network, process ids and IPC, and a file system with the Python
standard library, read-only, and an empty /tmp that is deleted at the end. There is no /proc. When
process 1 ends, the kernel ends every process of the sandbox. A filter refuses the system calls that
are counted against no limit or reach past the namespaces (system_calls.py).

What remains: the kernel is the wall. Memory is limited per process, so the sum is
`processes * (memory_mb + 32 * files_mb)`, including files in memory.
"""

import os
import socket
import sys
import tempfile
from dataclasses import dataclass
from functools import cache

from rewards.isolation.namespaces import PREFIX, Launcher, Limits
from rewards.isolation.sandbox_process import Run, SandboxError, run_process

# Tries what must not work, and prints which protections hold.
_PROBE = """
import ctypes, os, socket, time
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
libc = ctypes.CDLL(None)
held = {
    "own user": os.geteuid() != 0 and fails(os.setuid, 0),
    "no network": fails(socket.create_connection, ("127.0.0.1", int(port)), 1),
    "own process ids": os.getppid() == 1 and os.getpid() < 100,
    "read-only files": all(fails(open, f"{folder}/probe", "w") for folder in ("", "/dev", prefix)),
    "no foreign files": fails(open, secret),
    "no System V IPC": (libc.shmget(0, 1, 896), libc.semget(0, 1, 896), libc.msgget(0, 896)) ==
    (-1, -1, -1),
    "memory limit": fails(bytearray, int(memory_mb) << 20),
    "process limit": fails(forks),
}
print(*(name for name, holds in held.items() if holds), sep="\\n")
"""
# The protections that the probe reports, in the order of messages.
_PROTECTIONS: tuple[str, ...] = (
    "own user",
    "no network",
    "own process ids",
    "read-only files",
    "no foreign files",
    "no System V IPC",
    "memory limit",
    "process limit",
)


@dataclass(frozen=True)
class Protections:
    """What this machine can protect itself from.

    Attributes:
        launcher: who sets the sandbox up: `root`, `user` (in a user namespace), or `none`.
        missing: the protections that did not hold when they were tried.
        reason: the message of the last attempt.
    """

    launcher: Launcher
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
    """The protections that hold on this machine, probed once; takes 0.2 s."""
    return probe_protections()


def probe_protections() -> Protections:
    """Tries all protections with a program that attacks the sandbox."""
    if not sys.platform.startswith("linux"):
        return Protections("none", _PROTECTIONS, "namespaces need Linux")
    launchers: list[Launcher] = ["user"]
    if os.geteuid() == 0:
        launchers.insert(0, "root")

    # The targets of the attack: a port of this machine that listens, and a file that all may read.
    missing = _PROTECTIONS
    reason = ""
    limits = Limits(memory_mb=256)
    with socket.create_server(("127.0.0.1", 0)) as server, tempfile.NamedTemporaryFile() as secret:
        os.chmod(secret.name, 0o644)
        port = server.getsockname()[1]
        targets = f"{secret.name} {port} {PREFIX} {limits.memory_mb} {limits.processes}"

        # The first launcher under which every protection holds is the one to use.
        for launcher in launchers:
            try:
                result = run_process(_PROBE, targets, limits, launcher)
            except SandboxError as error:
                reason = str(error)
                continue
            holding = result.stdout.splitlines()
            missing = tuple(name for name in _PROTECTIONS if name not in holding)
            reason = result.stderr
            if not missing:
                return Protections(launcher)
    return Protections("none", missing, reason)


def require_protections(unprotected: bool) -> Protections:
    """The machine's protections.

    Raises `SandboxError` if one is missing and `unprotected` does not allow that.
    """
    # The message names every remedy: whoever reads it may lack only one of them.
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


def run_program(
    program: str,
    stdin: str = "",
    limits: Limits | None = None,
    unprotected: bool = False,
    packages: tuple[str, ...] = (),
) -> Run:
    """Runs `program`, a whole Python file, on `stdin`.

    `packages` are folders of Python packages that it may read, beside the standard library.
    Raises `SandboxError` if the sandbox failed, or if this machine lacks a protection and
    `unprotected` is false.
    """
    launcher = require_protections(unprotected).launcher
    return run_process(program, stdin, limits or Limits(), launcher, packages)
