"""What is read of a run, which settings are proposed when it does not fit, and how running out is told from other errors."""

import multiprocessing
import resource
from dataclasses import replace
from types import SimpleNamespace

import psutil
import pytest
import torch

from recipes.core.memory.advise import (
    MARGIN,
    find_fitting_plan,
    render_advice,
    setting_changes,
    smaller_plans,
)
from recipes.core.memory.estimate import estimate_parts, estimate_total
from recipes.core.memory.model_shape import ModelShape
from recipes.core.memory.plan import MemoryPlan, _sharding, plan_memory
from recipes.core.preflight.batch import BatchArguments, check_batch
from recipes.core.runtime.device import free_bytes
from recipes.core.runtime.failures import is_out_of_memory
from tests.support.commands import ROOT


def qwen(**fields):
    """recipes/gsm8k/grpo.yaml: LoRA on Qwen3-1.7B, on a GPU."""
    shape = ModelShape(
        parameters=1_720_574_976,
        trainable=34_865_152,
        embedding=151_936 * 2048,
        linear=1_409_286_144,
        adapted=6 * 2048 + 6144,
        ranks=7 * 32,
        trains_head=False,
        qk_norm=True,
        layers=28,
        hidden=2048,
        heads=16,
        kv_heads=8,
        head_dim=128,
        intermediate=6144,
        vocabulary=151_936,
    )
    fields = {
        "gradient_checkpointing": True,
        "prompt_length": 512,
        "completion_length": 768,
        "generation_rows": 64,
    } | fields
    return MemoryPlan(shape, 8, 8, optim="adamw_torch_fused", num_generations=8, **fields)


def full(**fields):
    shape = replace(qwen().shape, trainable=1_720_574_976, adapted=0, ranks=0, trains_head=True)
    return replace(qwen(), shape=shape, **fields)


def test_zero_splits_what_its_paper_says():
    """16 bytes a parameter: 2 of weights, 2 of gradients, 12 of the optimiser; stages 1, 2 and 3 split one more of them each."""
    millions = 1_720_574_976 / 1e6
    plans = [full(sharding=f"zero{stage}", processes=4, generation_rows=0) for stage in (1, 2, 3)]
    parts = [
        {key: value / 1e6 / millions for key, value in estimate_parts(plan).items()}
        for plan in plans
    ]
    assert [part["optimiser"] for part in parts] == pytest.approx([3, 3, 3])
    assert [part["gradients"] for part in parts] == pytest.approx([2, 0.5, 0.5])
    assert [part["weights"] for part in parts[:2]] == pytest.approx([2, 2])
    assert 0.5 < parts[2]["weights"] < 1.2  # and what is gathered for a while
    assert estimate_parts(replace(plans[0], offload=True))["optimiser"] == 0
    assert estimate_parts(full(sharding="fsdp2", processes=4))["optimiser"] == 2 * 1_720_574_976


def test_fsdp2_does_not_split_weights_in_four_bits():
    weights = {
        (kind, processes): estimate_parts(
            qwen(bits=4, sharding=kind, processes=processes, generation_rows=0)
        )["weights"]
        for kind in ("zero3", "fsdp2")
        for processes in (8, 16)
    }
    in_four_bits = qwen().shape.linear * 9 / 16  # 4 bits, and an fp32 scale for every 64 weights
    assert weights["fsdp2", 8] - weights["zero3", 8] == pytest.approx(
        in_four_bits * 7 / 8, rel=0.15
    )
    assert weights["fsdp2", 16] - weights["zero3", 16] == pytest.approx(
        in_four_bits * 15 / 16, rel=0.15
    )


def test_a_smaller_batch_comes_before_checkpointing_and_that_before_another_optimiser():
    plan = replace(full(), gradient_checkpointing=False, generation_rows=0)
    assert find_fitting_plan(plan, 1e12) == plan and find_fitting_plan(plan, 1e9) is None
    states = estimate_parts(plan)["optimiser"]
    smallest = replace(plan, per_device_train_batch_size=1, gradient_accumulation_steps=64)
    checkpointed = replace(smallest, gradient_checkpointing=True)
    budgets = [
        size * MARGIN
        for size in (
            estimate_total(plan) - 1,
            estimate_total(smallest) - 1,
            estimate_total(checkpointed) - 1,
        )
    ]
    found = [setting_changes(plan, find_fitting_plan(plan, budget)) for budget in budgets]
    assert found[0] == {"per_device_train_batch_size": 4, "gradient_accumulation_steps": 16}
    assert found[1]["gradient_checkpointing"] is True and "optim" not in found[1]
    assert found[2]["optim"] == "adamw_bnb_8bit"
    assert estimate_parts(replace(plan, optim="adamw_bnb_8bit"))["optimiser"] < states
    assert not any(
        near.optim != plan.optim
        for near in smaller_plans(replace(plan, sharding="zero2", processes=2))
    )


def test_every_setting_that_is_proposed_keeps_the_batch_and_whole_groups():
    for key, processes in ((None, 1), ("steps_per_generation", 2), ("generation_batch_size", 2)):
        plan = qwen(generation_key=key, processes=processes)
        for near in smaller_plans(plan):
            assert near.per_device_train_batch_size * near.gradient_accumulation_steps == 64
            written = {
                k: v
                for k, v in setting_changes(plan, near).items()
                if k in BatchArguments.__dataclass_fields__
            }
            keys = {"per_device_train_batch_size": 8, "gradient_accumulation_steps": 8}
            keys |= {"steps_per_generation": 8} if key == "steps_per_generation" else {}
            keys |= {"generation_batch_size": 128} if key == "generation_batch_size" else {}
            batch = BatchArguments(**keys | written)
            check_batch(batch, processes)
            steps = batch.steps_per_generation or batch.gradient_accumulation_steps
            rows = (
                batch.generation_batch_size or batch.per_device_train_batch_size * steps * processes
            )
            assert rows == near.generation_rows * processes


def test_completions_are_drawn_in_parts_when_the_cache_is_what_does_not_fit():
    plan = qwen(generation_rows=256, generation_key="steps_per_generation")
    assert estimate_parts(plan)["kv cache"] == 256 * 1280 * 28 * 2 * 8 * 128 * 2
    found = find_fitting_plan(plan, 0.9 * estimate_total(plan))
    assert setting_changes(plan, found) == {"steps_per_generation": 16}
    assert setting_changes(
        replace(plan, generation_key=None, generation_rows=64), replace(plan, generation_rows=32)
    ) == {"steps_per_generation": 4}


def test_advice_is_a_sentence_with_keys_and_values():
    assert render_advice(qwen(gradient_checkpointing=False), 24 * 2**30) == (
        "about 36.9 GiB are needed and 24 GiB are there; "
        "write `per_device_train_batch_size: 4` and `gradient_accumulation_steps: 16` (about 20.4 GiB)"
    )
    thought_to_fit = render_advice(qwen(generation_rows=0), 80 * 2**30)
    assert thought_to_fit.startswith("80 GiB are there and were not enough, against an estimate of")
    assert (
        "write `per_device_train_batch_size: 4` and `gradient_accumulation_steps: 16`"
        in thought_to_fit
    )
    hopeless = render_advice(qwen(), 2e9)
    assert "nothing near fits, not even with `per_device_train_batch_size:" in hopeless
    assert "`max_completion_length: 384`" in hopeless and "`load_in_4bit: true` (about" in hopeless
    hopeless = render_advice(full(sharding="ddp", processes=2), 2e9)
    assert "zero3 with 4 processes" in hopeless and "`use_peft: true`, a smaller model" in hopeless


def test_the_facts_are_the_users_own_keys(tmp_path, monkeypatch):
    from transformers import AutoConfig, GPT2Config
    from trl import GRPOConfig, ModelConfig, SFTConfig

    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    shipped = AutoConfig.from_pretrained(ROOT / "recipes/arithmetic/models/base")
    common = {"output_dir": str(tmp_path), "use_cpu": True, "bf16": False, "report_to": "none"}
    grpo = GRPOConfig(
        per_device_train_batch_size=16,
        gradient_accumulation_steps=4,
        max_completion_length=72,
        beta=0.1,
        **common,
    )
    plan = plan_memory(
        shipped,
        ModelConfig(dtype="float32", use_peft=True, lora_target_modules="all-linear"),
        grpo,
        30,
    )
    assert (plan.prompt_length, plan.completion_length, plan.generation_rows) == (30, 72, 64)
    assert (plan.weight_bytes, plan.compute_bytes, plan.optim, plan.reference) == (
        4,
        4,
        "adamw_torch_fused",
        False,
    )
    assert plan.shape.adapted and plan.gradient_checkpointing and not plan.accelerator
    monkeypatch.setenv("ACCELERATE_USE_DEEPSPEED", "true")
    monkeypatch.setenv("ACCELERATE_DEEPSPEED_ZERO_STAGE", "3")
    assert _sharding(2) == ("zero3", False)
    monkeypatch.delenv("ACCELERATE_USE_DEEPSPEED")
    sft = SFTConfig(max_length=256, gradient_checkpointing=False, **common)
    plan = plan_memory(shipped, ModelConfig(dtype="bfloat16", load_in_4bit=True), sft)
    assert (plan.prompt_length, plan.completion_length, plan.generation_rows) == (0, 256, 0)
    assert (
        plan.weight_bytes,
        plan.compute_bytes,
        plan.bits,
        plan.shape.adapted,
        plan.sharding,
    ) == (2, 2, 4, 0, "none")
    assert (
        plan_memory(
            shipped, ModelConfig(), replace(sft, max_length=None), trace_length=90
        ).completion_length
        == 90
    )
    assert plan_memory(GPT2Config(), ModelConfig(), sft) is None  # neither a gated MLP nor RMSNorm


def _fill(results):
    limit = psutil.Process().memory_info().vms + 2**28
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    said = [free_bytes() <= limit]
    for fill in (
        lambda: torch.empty(2**30),
        lambda: bytearray(2**30),
        lambda: torch.empty(2).view(3),
    ):
        try:
            fill()
        except Exception as error:
            said.append((type(error).__name__, is_out_of_memory(error)))
    results.send(said)


def test_what_torch_and_python_say_when_memory_runs_out_is_recognised(monkeypatch):
    """torch's allocator, Python's, and an error that is none; in a process whose address space ends, as with `ulimit -v`."""
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    context = multiprocessing.get_context("fork")  # spared: seconds of imports
    results, sender = context.Pipe(duplex=False)
    process = context.Process(target=_fill, args=(sender,))
    process.start()
    assert results.poll(60)
    assert results.recv() == [
        True,
        ("RuntimeError", True),
        ("MemoryError", True),
        ("RuntimeError", False),
    ]
    process.join()


def test_on_a_cpu_there_is_what_is_free_and_what_the_process_has_up_to_its_limit(monkeypatch):
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(available=2**40))
    monkeypatch.setattr(
        "resource.getrlimit", lambda which: (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    )
    assert 2**40 < free_bytes() < 2**41
    monkeypatch.setattr("resource.getrlimit", lambda which: (2**33, resource.RLIM_INFINITY))
    assert free_bytes() == 2**33


def test_every_error_that_one_came_from_is_looked_at():
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"))
    windows = RuntimeError(
        "[enforce fail at alloc_cpu.cpp:121] data. DefaultCPUAllocator: not enough memory: you tried to allocate 8 bytes."
    )
    assert is_out_of_memory(windows)
    first, last = ValueError("memory"), ValueError("memory")
    last.__cause__, last.__context__, first.__context__ = first, windows, last  # a circle
    assert is_out_of_memory(last) and is_out_of_memory(first)
    last.__context__ = None
    assert not is_out_of_memory(last)


@pytest.mark.gpu
def test_what_is_there_is_the_whole_gpu():
    assert (
        free_bytes() == torch.cuda.get_device_properties(torch.cuda.current_device()).total_memory
    )
