"""Fixtures shared by all tests: a tiny untrained base model, and traces for it to learn."""

import os
import sys
from pathlib import Path

import pytest

from tests.support.commands import run

# No test may reach a hub or a tracker; two threads of a tiny model only wait for each other.
OFFLINE = {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
os.environ.update(OFFLINE)


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
