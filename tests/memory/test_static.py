"""Weights, gradients, optimiser and buffers: sharded as ZeRO and FSDP2 do, quantised as NF4."""

from dataclasses import replace

import pytest

from recipes.core.memory.static import static_bytes
from tests.memory.tiny_models import make_config, make_plan
from tests.support.shapes import QWEN3_1_7B, QWEN3_1_7B_LORA, full_plan, lora_plan


def test_zero_needs_the_bytes_a_parameter_of_its_paper():
    """16 in all: 2 of weights, 2 of gradients, 12 of the optimiser. Stage 1 shards the
    optimiser's, stage 2 also the gradients', stage 3 also the weights'."""
    parts = []
    for stage in (1, 2, 3):
        plan = full_plan(sharding=f"zero{stage}", processes=4)
        of_stage = static_bytes(plan)
        parts.append({part: size / QWEN3_1_7B.parameters for part, size in of_stage.items()})
    assert [part["optimiser"] for part in parts] == pytest.approx([3, 3, 3])
    assert [part["gradients"] for part in parts] == pytest.approx([2, 0.5, 0.5])
    assert [part["weights"] for part in parts[:2]] == pytest.approx([2, 2])
    assert 0.5 < parts[2]["weights"] < 1.2  # a quarter of 2, and what is gathered at a time


def test_an_offloaded_optimiser_needs_nothing_on_the_device():
    assert static_bytes(full_plan(sharding="zero1", processes=4, offload=True))["optimiser"] == 0


def test_fsdp2_shards_adams_two_states_in_fp32():
    parts = static_bytes(full_plan(sharding="fsdp2", processes=4))
    assert parts["optimiser"] == 2 * 4 * QWEN3_1_7B.parameters // 4


@pytest.mark.parametrize("processes", [8, 16])
def test_fsdp2_does_not_shard_weights_in_four_bits(processes):
    fsdp2 = static_bytes(lora_plan(bits=4, sharding="fsdp2", processes=processes))["weights"]
    zero3 = static_bytes(lora_plan(bits=4, sharding="zero3", processes=processes))["weights"]
    quantised = QWEN3_1_7B_LORA.linear * 9 / 16  # 4 bits, and an fp32 scale for every 64 weights
    not_sharded = quantised * (processes - 1) / processes
    assert fsdp2 - zero3 == pytest.approx(not_sharded, rel=0.15)


def test_a_weight_in_four_bits_has_the_size_that_bitsandbytes_gives_it():
    from bitsandbytes.nn import Linear4bit

    layer = Linear4bit(256, 512, bias=False, quant_type="nf4", compress_statistics=False).to("cpu")
    packed = layer.weight.numel() * layer.weight.element_size()
    scales = layer.weight.quant_state.absmax.nbytes
    plan = make_plan(make_config(), True, 1, 1, "bf16", bits=4)
    shape = replace(plan.shape, parameters=256 * 512, linear=256 * 512, trainable=0)
    assert static_bytes(replace(plan, shape=shape))["weights"] == packed + scales
