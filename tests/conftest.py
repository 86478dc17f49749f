"""What the tests share: the repository's folder, a command runner, and a tiny base model made as the shipped ones are."""

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]

# No test may ask a hub or a tracker, and two threads of a tiny model only wait for each other.
OFFLINE = {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
os.environ.update(OFFLINE)


def run(*command: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """A real command in the repository's folder."""
    return subprocess.run(
        [str(word) for word in command],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=600,
    )


def stage(name: str, config: object, *arguments: object) -> subprocess.CompletedProcess[str]:
    """A stage's script, as a user starts it."""
    return run(sys.executable, f"recipes/{name}.py", "--config", config, *arguments)


def ok(done: subprocess.CompletedProcess[str]) -> subprocess.CompletedProcess[str]:
    """The command, if it went well; else what it said last."""
    assert done.returncode == 0, done.stderr[-3000:]
    return done


def answered(answer: str) -> str:
    """A well-formed trace with this answer."""
    return f"<think>a</think><answer>{answer}</answer>"


@pytest.fixture(scope="session")
def tiny_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`base` and `student_base`, made by recipes/arithmetic/pretrain.py in a few steps: real, and too young to know anything."""
    folder = tmp_path_factory.mktemp("models")
    made = run(
        sys.executable, "recipes/arithmetic/pretrain.py", "--output_dir", folder, "--steps", 3
    )
    assert made.returncode == 0, made.stderr
    return folder


@pytest.fixture(scope="session")
def traces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Traces of the kind that `generate` leaves, as many as a few steps need; every length differs from its neighbour's."""
    file = tmp_path_factory.mktemp("traces") / "traces.jsonl"
    from recipes.core.files import append_jsonl

    rows = []
    for a in range(10, 80):
        for b in (3, 7):
            steps = f"{a}*{b}={a * b}" if a % 3 else f"{a}*{b}={a * b};{a * b}+5={a * b + 5}"
            text = f"<think>{steps}</think><answer>{a * b + 5}</answer>"
            rows.append({"prompt": [{"role": "user", "content": f"{a}*{b}+5"}], "completion": text})
    append_jsonl(file, rows)
    return file


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
    return max(
        (
            int(path.parent.name.partition("-")[2])
            for path in folder.glob("checkpoint-*/sealed.json")
        ),
        default=0,
    )


def free_port() -> int:
    """A port of this machine that nothing listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
