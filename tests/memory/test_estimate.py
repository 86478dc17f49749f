"""The estimate equals the measured peak: by torch's allocator, and by the kernel."""

import multiprocessing
from pathlib import Path

import pytest
import torch

from recipes.core.memory import activations
from recipes.core.memory.activations import LOGPROB_TILE_COLUMNS
from recipes.core.memory.estimate import estimate_parts, estimate_total
from tests.memory.tiny_models import make_config, make_plan, peak_bytes, train

FULL, LORA = False, True
SLOW = pytest.mark.slow


@pytest.mark.parametrize(
    ("lora", "checkpointing", "batch", "length", "dtype"),
    [
        (FULL, False, 2, 64, "fp32"),
        (LORA, True, 4, 128, "fp32"),
        pytest.param(FULL, False, 4, 128, "fp32", marks=SLOW),
        pytest.param(FULL, False, 2, 32, "bf16", marks=SLOW),
        pytest.param(FULL, True, 2, 64, "fp32", marks=SLOW),
        pytest.param(FULL, True, 4, 128, "fp32", marks=SLOW),
        pytest.param(FULL, True, 2, 32, "bf16", marks=SLOW),
        pytest.param(LORA, False, 2, 64, "fp32", marks=SLOW),
        pytest.param(LORA, False, 4, 128, "fp32", marks=SLOW),
        pytest.param(LORA, False, 2, 32, "bf16", marks=SLOW),
        pytest.param(LORA, True, 2, 64, "fp32", marks=SLOW),
        pytest.param(LORA, True, 2, 32, "bf16", marks=SLOW),
    ],
)
def test_the_peak_of_a_training_step_is_estimated(
    monkeypatch, lora, checkpointing, batch, length, dtype
):
    # A small tile makes the head small, so that the layers determine the peak.
    monkeypatch.setattr(activations, "LOGPROB_TILE_TOKENS", 32)
    monkeypatch.setattr(activations, "LOGPROB_TILE_COLUMNS", 1024)
    monkeypatch.setattr("trl.kernels.chunked_logprob.TOKEN_CHUNK_SIZE", 32)
    monkeypatch.setattr("trl.trainer.utils._CHUNKED_LOGPROB_CHUNK_SIZE", 1024)
    config = make_config()
    plan = make_plan(config, lora, batch, length, dtype, gradient_checkpointing=checkpointing)
    measured = peak_bytes(train, config, lora, checkpointing, batch, length, dtype)
    assert estimate_total(plan) == pytest.approx(measured, rel=0.12)


@pytest.mark.parametrize("lora", [FULL, pytest.param(LORA, marks=SLOW)], ids=["full", "lora"])
def test_the_peak_of_a_large_head_is_estimated(lora):
    config = make_config(vocab_size=LOGPROB_TILE_COLUMNS, num_hidden_layers=2)
    plan = make_plan(config, lora, 2, 64, gradient_checkpointing=True)
    parts = estimate_parts(plan)
    assert parts["logits"] > sum(parts.values()) / 3
    measured = peak_bytes(train, config, lora, True, 2, 64)
    assert estimate_total(plan) == pytest.approx(measured, rel=0.05)


def test_the_peak_of_generation_is_estimated():
    from transformers import AutoModelForCausalLM

    config = make_config(num_key_value_heads=4)
    plan = make_plan(config, True, 1, 16, prompt_length=112, generation_rows=16)
    parts = estimate_parts(plan)
    assert parts["kv cache"]
    estimate = parts["kv cache"] + parts["logits"] + parts["activations"]

    model = AutoModelForCausalLM.from_config(config).eval()
    ids = torch.randint(3, 1024, (16, 112))
    settings = {
        "attention_mask": torch.ones_like(ids),
        "max_new_tokens": 16,
        "min_new_tokens": 16,
        "do_sample": True,
        "pad_token_id": 0,
    }
    measured = peak_bytes(lambda: model.generate(ids, **settings))
    assert estimate == pytest.approx(measured, rel=0.25)


def process_status(key):
    """Bytes of an entry of this process's status, such as VmRSS."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(key):
            return 1024 * int(line.split()[1])
    raise KeyError(key)


def measure_resident(queue, config, lora, checkpointing, batch, length):
    torch.set_num_threads(1)
    train(make_config(num_hidden_layers=1), lora, checkpointing, 2, 8)  # loads lazy libraries
    Path("/proc/self/clear_refs").write_text("5")  # resets VmHWM
    before = process_status("VmRSS")
    train(config, lora, checkpointing, batch, length)
    queue.put(process_status("VmHWM") - before)


@pytest.mark.slow
def test_the_resident_memory_of_a_process_is_estimated(monkeypatch):
    # malloc returns freed blocks to the kernel at once, where CUDA's allocator would reuse them.
    monkeypatch.setenv("MALLOC_MMAP_THRESHOLD_", "65536")
    config = make_config(
        hidden_size=256, intermediate_size=1024, vocab_size=8192, num_hidden_layers=6
    )
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    process = context.Process(target=measure_resident, args=(queue, config, FULL, False, 2, 96))
    process.start()
    measured = queue.get(timeout=120)
    process.join()
    assert estimate_total(make_plan(config, FULL, 2, 96)) == pytest.approx(measured, rel=0.25)
