"""Fixtures shared by all tests, and which tests this machine cannot run."""

import importlib.util
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from recipes.core.files import append_jsonl
from tests.support.commands import run

# No test may reach a hub or a tracker; two threads of a tiny model only wait for each other.
OFFLINE = {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
os.environ.update(OFFLINE)


def has_cuda() -> bool:
    """Whether there is a CUDA device."""
    import torch

    return torch.cuda.is_available()


# What the tests with a mark need: in words, and how to find out.
NEEDS: dict[str, tuple[str, Callable[[], bool]]] = {
    "gpu": ("a CUDA device", has_cuda),
    "vllm": ("the package vllm", lambda: importlib.util.find_spec("vllm") is not None),
    "lm_eval": ("the package lm_eval", lambda: importlib.util.find_spec("lm_eval") is not None),
    "slurm": (
        "Slurm (tests/support/start_slurm.sh)",
        lambda: shutil.which("slurmctld") is not None,
    ),
}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skips tests that need what this machine lacks, where all are run; `-rs` lists them."""
    if config.getoption("-m"):  # a ring that was chosen by its mark must run or fail
        return
    for mark, (need, is_available) in NEEDS.items():
        marked = [item for item in items if item.get_closest_marker(mark)]
        if marked and not is_available():
            for item in marked:
                item.add_marker(pytest.mark.skip(reason=f"needs {need}"))


@pytest.fixture(scope="session")
def tiny_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`base` and `student_base`, pretrained for a few steps: real but untrained."""
    folder = tmp_path_factory.mktemp("models")
    words = ("-m", "recipes.arithmetic.pretrain", "--output_dir", folder, "--steps", 3)
    made = run(sys.executable, *words)
    assert made.returncode == 0, made.stderr
    return folder


@pytest.fixture(scope="session")
def traces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Traces like those of `generate`, enough for a few steps; neighbours differ in length."""
    file = tmp_path_factory.mktemp("traces") / "traces.jsonl"
    rows = []
    for a in range(10, 80):
        for b in (3, 7):
            steps = f"{a}*{b}={a * b}"
            if a % 3 == 0:
                steps += f";{a * b}+5={a * b + 5}"
            text = f"<think>{steps}</think><answer>{a * b + 5}</answer>"
            prompt = [{"role": "user", "content": f"{a}*{b}+5"}]
            rows.append({"prompt": prompt, "completion": text})
    append_jsonl(file, rows)
    return file
