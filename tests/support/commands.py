"""Helpers of the tests: run a command or a stage, and compare the weights it wrote."""

import contextlib
import importlib
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


def run(*command: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs a real command in the repository's folder."""
    return subprocess.run(
        [str(word) for word in command],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=600,
    )


def stage(name: str, config: object, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Runs a stage's script in a process of its own, as a user starts it."""
    return run(sys.executable, f"recipes/{name}.py", "--config", config, *arguments)


def stage_here(name: str, config: object, *arguments: object) -> None:
    """Runs a stage's `main` in this process, which saves the seconds of importing torch and TRL.

    Raises what `main` raises. Its log is in `caplog`, its table in `capsys`.
    """
    words = [f"recipes/{name}.py", "--config", str(config), *map(str, arguments)]
    handler = signal.getsignal(signal.SIGTERM)
    argv = sys.argv
    sys.argv = words
    try:
        with contextlib.chdir(ROOT):
            importlib.import_module(f"recipes.{name}").main()
    finally:
        sys.argv = argv
        signal.signal(signal.SIGTERM, handler)


def ok(done: subprocess.CompletedProcess[str]) -> subprocess.CompletedProcess[str]:
    """The command if it succeeded; fails the test with its last output if not."""
    assert done.returncode == 0, done.stderr[-3000:]
    return done


def answered(answer: str) -> str:
    """A well-formed trace with this answer."""
    return f"<think>a</think><answer>{answer}</answer>"


def weights(folder: Path) -> dict[str, Any]:
    """The tensors of a model or adapter of one file."""
    from safetensors.torch import load_file

    (file,) = folder.glob("*.safetensors")
    return load_file(file)


def largest_difference(one: dict[str, Any], other: dict[str, Any]) -> float:
    """Between two models' weights."""
    assert one.keys() == other.keys()
    return max((one[name] - other[name]).abs().max().item() for name in one)


def latest(folder: Path) -> int:
    """The step of the latest checkpoint that was written to its end."""
    complete = folder.glob("checkpoint-*/sealed.json")
    return max((int(path.parent.name.partition("-")[2]) for path in complete), default=0)


def free_port() -> int:
    """A port of this machine that nothing listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
