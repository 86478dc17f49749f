"""Running out of memory is told from other errors, and ends a stage with advice that works."""

import multiprocessing
import re
import resource
import sys
from types import SimpleNamespace

import psutil
import pytest
import torch

from recipes.core.runtime.device import free_bytes
from recipes.core.runtime.failures import is_out_of_memory
from tests.support.commands import ok, run

# The settings that the error of a training names.
ADVICE = re.compile(
    r"error: step 0: out of memory: .* "
    r"write `per_device_train_batch_size: (\d+)` and `gradient_accumulation_steps: (\d+)`"
)


def run_limited(kilobytes, stage, *arguments):
    """A stage whose address space is limited, as it would be by the memory of a device."""
    words = [sys.executable, f"recipes/{stage}.py", "--config", f"recipes/arithmetic/{stage}.yaml"]
    command = " ".join(str(word) for word in (*words, *arguments))
    return run("bash", "-c", f"ulimit -v {kilobytes}; {command}")


def run_out_of_memory(results):
    """In a process of limited address space, as with `ulimit -v`: sends what each attempt does."""
    limit = psutil.Process().memory_info().vms + 2**28
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    attempts = [
        lambda: torch.empty(2**30),  # torch's allocator
        lambda: bytearray(2**30),  # Python's
        lambda: torch.empty(2).view(3),  # another error of torch
    ]
    outcomes = [free_bytes() <= limit]
    for attempt in attempts:
        try:
            attempt()
        except Exception as error:
            outcomes.append((type(error).__name__, is_out_of_memory(error)))
    results.send(outcomes)


def test_out_of_memory_is_recognised_from_torch_and_from_python(monkeypatch):
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    context = multiprocessing.get_context("fork")  # saves the seconds that imports take
    results, sender = context.Pipe(duplex=False)
    process = context.Process(target=run_out_of_memory, args=(sender,))
    process.start()
    assert results.poll(60)
    assert results.recv() == [
        True,
        ("RuntimeError", True),
        ("MemoryError", True),
        ("RuntimeError", False),
    ]
    process.join()


def test_out_of_memory_is_recognised_from_an_errors_causes_even_in_a_circle():
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"))
    windows = RuntimeError(
        "[enforce fail at alloc_cpu.cpp:121] data. DefaultCPUAllocator: not enough memory: "
        "you tried to allocate 8 bytes."
    )
    assert is_out_of_memory(windows)

    first = ValueError("memory")
    last = ValueError("memory")
    last.__cause__ = first
    last.__context__ = windows
    first.__context__ = last
    assert is_out_of_memory(last) and is_out_of_memory(first)

    last.__context__ = None
    assert not is_out_of_memory(last)


def test_on_a_cpu_free_memory_counts_the_process_itself_and_ends_at_its_limit(monkeypatch):
    def set_limit(limit):
        monkeypatch.setattr("resource.getrlimit", lambda which: (limit, resource.RLIM_INFINITY))

    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(available=2**40))
    set_limit(resource.RLIM_INFINITY)
    assert 2**40 < free_bytes() < 2**41
    set_limit(2**33)
    assert free_bytes() == 2**33


@pytest.mark.gpu
def test_on_a_gpu_the_whole_device_counts_as_free():
    gpu = torch.cuda.get_device_properties(torch.cuda.current_device())
    assert free_bytes() == gpu.total_memory


@pytest.mark.slow
def test_training_runs_out_in_the_first_step_and_the_error_names_settings_that_fit(tmp_path):
    def train(batch, steps):
        return run_limited(
            9_000_000,
            "grpo",
            *("--per_device_train_batch_size", batch, "--gradient_accumulation_steps", steps),
            *("--longest_first", "--max_steps", 1, "--output_dir", tmp_path / str(batch)),
        )

    done = train(4096, 1)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    advice = ADVICE.search(done.stderr)
    assert advice, done.stderr[-2000:]
    ok(train(*advice.groups()))


@pytest.mark.slow
def test_sampling_that_runs_out_ends_with_one_line_too(tmp_path):
    done = run_limited(
        3_500_000,
        "generate",
        *("--model_name_or_path", "recipes/arithmetic/models/base", "--output_dir", tmp_path),
        *("--batch_size", 90000, "--num_generations", 16),
    )
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert "error: out of memory: " in done.stderr and "write a smaller batch_size" in done.stderr
