"""Helpers of the tests that send signals to a running command."""

import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from tests.support.commands import ROOT


def start(*words: object) -> subprocess.Popen[str]:
    """Starts a command in the repository's folder; its output and errors are one stream."""
    command = [str(word) for word in words]
    return subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def wait_while_running(
    process: subprocess.Popen[str], condition: Callable[[], bool], seconds: float = 120
) -> None:
    """Waits for the condition; fails the test if the process ends first or time runs out."""
    deadline = time.time() + seconds
    while time.time() < deadline and process.poll() is None:
        if condition():
            return
        time.sleep(0.02)
    raise AssertionError(process.communicate(timeout=60)[0][-3000:])


def wait_for_lines(file: Path, lines: int, process: subprocess.Popen[str]) -> None:
    """Waits until the file has that many lines."""
    wait_while_running(process, lambda: file.exists() and file.read_bytes().count(b"\n") >= lines)
