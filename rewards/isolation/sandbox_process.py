"""Starts, feeds, reads and ends one program of the sandbox (rewards/isolation/sandbox.py)."""

import os
import selectors
import signal
import subprocess
import tempfile
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import IO, Literal

from rewards.isolation.namespaces import Launcher, Limits, Sent, build_command

SEARCH_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

_SETUP_SECONDS = 30.0  # until the program starts, on a loaded machine; usually 0.05
_STDERR_BYTES = 2000
_CHUNK_BYTES = 65536
_STARTED = b"started\n"

Process = subprocess.Popen[bytes]
Status = Literal["ok", "error", "timeout", "memory", "output"]


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

    status: Status
    stdout: str
    stderr: str


def run_process(
    program: str, stdin: str, limits: Limits, launcher: Launcher, packages: tuple[str, ...] = ()
) -> Run:
    """Runs `program` on `stdin`, set up by `launcher`. Raises `SandboxError` if that fails."""
    sent = Sent(program.encode("utf-8", "replace"), stdin.encode("utf-8", "replace"), packages)
    status, status_end = os.pipe()
    with ExitStack() as stack:
        reports = stack.enter_context(os.fdopen(status, "rb", 0))
        # Inside the sandbox, /tmp is empty and private. Without one, a temporary folder stands in.
        folder = "/tmp"
        if launcher == "none":
            temporary = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
            folder = stack.enter_context(temporary)

        # The set-up reports on `status_end`. This process must not hold it open.
        try:
            words = build_command(launcher, folder, sent, status_end, limits)
            process = _start(words, folder, status_end)
        except OSError as error:
            raise SandboxError(f"the sandbox did not start: {error}") from error
        finally:
            os.close(status_end)

        # The program comes first on standard input. Whatever happens, nothing keeps running.
        conversation = Conversation(process, reports, limits)
        try:
            conversation.run(sent.program + sent.stdin)
        finally:
            _stop(process, launcher, conversation.reported)
    return _result(process, launcher, conversation)


def _start(words: list[str], folder: str, status_end: int) -> Process:
    """Starts the sandbox with nothing of the training process's environment or open files."""
    # A session of its own, so that all it starts can be killed; an environment without secrets.
    return subprocess.Popen(
        words,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
        cwd="/",
        env={
            "PATH": SEARCH_PATH,
            "HOME": folder,
            "TMPDIR": folder,
            "LANG": "C.UTF-8",
            "PYTHONHASHSEED": "0",
        },
        pass_fds=(status_end,),
        start_new_session=True,
    )


class Conversation:
    """Feeds a program its input and collects its output, until it ends or exceeds a limit.

    Attributes:
        stdout, stderr: the output so far.
        reported: the lines of the set-up: the id of process 1, then `started`.
        exceeded: the limit that the program ran into, if any.
    """

    def __init__(self, process: Process, reports: IO[bytes], limits: Limits) -> None:
        self.stdout = bytearray()
        self.stderr = bytearray()
        self.reported = bytearray()
        self.exceeded: Literal["timeout", "output"] | None = None
        self._process = process
        self._reports = reports
        self._limits = limits
        self._unsent = memoryview(b"")
        self._output_bytes = 0
        self._deadline = 0.0

    @property
    def started(self) -> bool:
        """Whether the sandbox is set up and the program runs."""
        return self.reported.endswith(_STARTED)

    def run(self, sent: bytes) -> None:
        """Sends `sent` and returns when the program has ended or exceeded a limit."""
        process = self._process
        assert process.stdin and process.stdout and process.stderr
        self._unsent = memoryview(sent)
        self._deadline = time.monotonic() + _SETUP_SECONDS
        os.set_blocking(process.stdin.fileno(), False)

        # Move bytes in whichever direction is possible, until every pipe is closed.
        with process.stdin, process.stdout, process.stderr, selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ, self.stdout)
            selector.register(process.stderr, selectors.EVENT_READ, self.stderr)
            selector.register(self._reports, selectors.EVENT_READ, self.reported)
            selector.register(process.stdin, selectors.EVENT_WRITE)
            while selector.get_map():
                ready = selector.select(self._remaining_seconds())
                if time.monotonic() >= self._deadline:
                    self.exceeded = "timeout"
                    return
                for key, _ in ready:
                    self._transfer(key, selector)
                    if self.exceeded:
                        return

        # A program may close its pipes and run on.
        try:
            process.wait(self._remaining_seconds())
        except subprocess.TimeoutExpired:
            self.exceeded = "timeout"

    def _remaining_seconds(self) -> float:
        return max(0.0, self._deadline - time.monotonic())

    def _transfer(self, key: selectors.SelectorKey, selector: selectors.BaseSelector) -> None:
        """Moves one chunk through a pipe that is ready, and drops the pipe when it is done."""
        # Standard input takes more. It is closed once all is sent, or if nobody reads it.
        if key.fileobj is self._process.stdin:
            if not self._send_chunk(key.fd):
                selector.unregister(key.fileobj)
                self._process.stdin.close()
            return

        # One of the other pipes has more, or has ended.
        chunk = os.read(key.fd, _CHUNK_BYTES)
        if not chunk:
            selector.unregister(key.fileobj)
            return
        key.data.extend(chunk)
        if key.data is self.reported:
            self._start_clock()
        else:
            self._check_output(len(chunk))

    def _send_chunk(self, descriptor: int) -> bool:
        """Writes some of the input. Returns whether there is more to send."""
        try:
            written = os.write(descriptor, self._unsent[:_CHUNK_BYTES])
        except BrokenPipeError:
            return False
        self._unsent = self._unsent[written:]
        return len(self._unsent) > 0

    def _start_clock(self) -> None:
        """Starts the program's time limit once the sandbox is set up."""
        if self.started:
            self._deadline = time.monotonic() + self._limits.timeout_seconds

    def _check_output(self, new_bytes: int) -> None:
        """Keeps the output within its limit, and notes when the program exceeds it."""
        del self.stderr[:-_STDERR_BYTES]
        self._output_bytes += new_bytes
        output_limit = self._limits.output_kb << 10
        if self._output_bytes > output_limit:
            del self.stdout[output_limit:]
            self.exceeded = "output"


def _stop(process: Process, launcher: Launcher, reported: bytearray) -> None:
    """Ends the sandbox; returns when nothing of it is running any more."""
    with suppress(ProcessLookupError, PermissionError):  # already ended; the latter on macOS
        if launcher == "none":
            os.killpg(process.pid, signal.SIGKILL)  # also what the program left in the background
        elif process.poll() is None:
            # Process 1 if it has reported its id, rather than unshare: its end is reported only
            # once every process of the namespace has ended.
            target = int(reported.split()[0]) if reported else process.pid
            os.kill(target, signal.SIGKILL)
    process.wait()


def _result(process: Process, launcher: Launcher, conversation: Conversation) -> Run:
    """The result of a program that has ended. Raises `SandboxError` if the sandbox failed."""
    stdout = conversation.stdout.decode("utf-8", "replace")
    stderr = conversation.stderr.decode("utf-8", "replace")

    # Failures of the sandbox, which say nothing about the program.
    if not conversation.started:
        reason = stderr.strip() or conversation.exceeded or process.returncode
        raise SandboxError(f"the sandbox could not be set up: {reason}")
    if conversation.exceeded:
        return Run(conversation.exceeded, stdout, stderr)
    if process.returncode < 0 and launcher != "none":  # no signal from inside reaches process 1
        raise SandboxError(f"the sandbox was ended from outside by signal {-process.returncode}")

    # Otherwise the exit code decides.
    if process.returncode == 0:
        return Run("ok", stdout, stderr)
    last_line = stderr.rstrip().rpartition("\n")[2]
    if last_line.startswith("MemoryError"):
        return Run("memory", stdout, stderr)
    return Run("error", stdout, stderr)
