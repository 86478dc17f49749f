"""What a run is estimated to need is what it takes: counted by autograd, by torch's allocator and by the kernel."""

import gc
import itertools
import multiprocessing
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from recipes.core.memory import estimate as memory
from recipes.core.memory.estimate import LOGPROB_TILE, estimate_parts, estimate_total, layer_bytes
from recipes.core.memory.model_shape import model_shape as shape_of
from recipes.core.memory.plan import MemoryPlan

SIZES = {
    "hidden_size": 128,
    "intermediate_size": 512,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "num_hidden_layers": 3,
}
DTYPES = {
    "fp32": (4, 4),
    "bf16": (2, 2),
    "fp32 with autocast": (4, 2),
}  # bytes of weights and of what is computed
QUICK = (
    ((False, False), (2, 64, "fp32")),
    ((True, True), (4, 128, "fp32")),
)  # steps that are not `slow`


def config(family="Llama", **sizes):
    import transformers

    sizes = (
        SIZES
        | {"vocab_size": 1024, "tie_word_embeddings": True}
        | ({"head_dim": 32} if family == "Qwen3" else {})
        | sizes
    )
    return getattr(transformers, f"{family}Config")(**sizes)


def adapters():
    from peft import LoraConfig

    return LoraConfig(r=16, target_modules="all-linear", task_type="CAUSAL_LM")


def model_of(config, lora, dtype="fp32"):
    from peft import get_peft_model
    from transformers import AutoModelForCausalLM

    weights = {4: torch.float32, 2: torch.bfloat16}[DTYPES[dtype][0]]
    model = AutoModelForCausalLM.from_config(config, dtype=weights)
    return (get_peft_model(model, adapters()) if lora else model).train()


def plan_of(config, lora, batch, length, dtype="fp32", **fields):
    weight_bytes, compute_bytes = DTYPES[dtype]
    fields = {
        "gradient_checkpointing": False,
        "weight_bytes": weight_bytes,
        "compute_bytes": compute_bytes,
    } | fields
    shape = shape_of(config, adapters() if lora else None)
    fields = {"optim": "adamw_torch_fused", "prompt_length": 0, "accelerator": False} | fields
    return MemoryPlan(shape, batch, 2, completion_length=length, **fields)


def forward(model, batch, length, dtype="fp32", **kwargs):
    ids = torch.randint(0, model.config.vocab_size, (batch, length))
    mask = torch.ones_like(ids)
    mask[0, :3] = 0
    with torch.autocast("cpu", torch.bfloat16, enabled=DTYPES[dtype][1] == 2):
        return model(
            input_ids=ids,
            attention_mask=mask,
            **kwargs,
            **({"labels": ids} if kwargs.get("fused_lm_head") else {}),
        )


def train(config, lora, checkpointing, batch, length, dtype="fp32"):
    """TRL's loss, twice: one row and a step, then `batch` rows, whose gradients are added to those that are there."""
    from trl.trainer.utils import add_fused_lm_head

    model = model_of(config, lora, dtype)
    add_fused_lm_head(model.get_base_model() if lora else model, outputs=("log_probs", "entropy"))
    if checkpointing:
        model.enable_input_require_grads()
        model.gradient_checkpointing_enable()
    optimiser = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], fused=True)
    forward(model, 1, 8, dtype, fused_lm_head=True).loss.backward()
    optimiser.step()
    forward(model, batch, length, dtype, fused_lm_head=True).loss.backward()


def peak(function, *args):
    """Bytes that torch's allocator held at once, beyond what it held before: `torch.cuda.max_memory_allocated`, for a CPU."""
    gc.collect()
    gc.disable()  # what was there before must not be freed meanwhile
    try:
        with torch.profiler.profile(
            activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True
        ) as profile:
            function(*args)
    finally:
        gc.enable()
    events = [
        (e.start_ns(), e.nbytes())
        for e in profile.profiler.kineto_results.events()
        if e.name() == "[memory]"
    ]
    held = most = 0
    for _, size in sorted(events, key=lambda event: event[0]):
        held += size
        most = max(most, held)
    return most


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("lora", [False, True], ids=["full", "lora"])
@pytest.mark.parametrize("family", ["Llama", "Qwen3"])
def test_what_a_layer_keeps_is_to_the_byte_what_autograd_saves(family, lora, dtype):
    def saved(layers):
        model = model_of(config(family, num_hidden_layers=layers), lora, dtype)
        kept = {}

        def pack(tensor):
            kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            output = forward(model.get_base_model().model if lora else model.model, 2, 48, dtype)
        assert output.last_hidden_state.requires_grad
        weights = {p.untyped_storage().data_ptr() for p in model.parameters()}
        return sum(storage.nbytes() for where, storage in kept.items() if where not in weights)

    plan = plan_of(config(family), lora, 2, 48, dtype)
    copies = 0  # autocast's, of weights: not activations
    if dtype == "fp32 with autocast":
        copies += 2 * plan.shape.linear // plan.shape.layers
    if lora and dtype != "fp32":
        copies += 2 * plan.shape.trainable // plan.shape.layers
    assert layer_bytes(plan)[0] + copies == saved(3) - saved(2)


@pytest.mark.parametrize(
    ("lora", "checkpointing", "batch", "length", "dtype"),
    [
        pytest.param(*how, *size, marks=() if (how, size) in QUICK else pytest.mark.slow)
        for how in itertools.product([False, True], repeat=2)
        for size in ((2, 64, "fp32"), (4, 128, "fp32"), (2, 32, "bf16"))
    ],
)
def test_a_step_peaks_where_the_estimate_says(
    monkeypatch, lora, checkpointing, batch, length, dtype
):
    monkeypatch.setattr(
        memory, "LOGPROB_TILE", (32, 1024)
    )  # a small head, so that the layers decide
    monkeypatch.setattr("trl.kernels.chunked_logprob.TOKEN_CHUNK_SIZE", 32)
    monkeypatch.setattr("trl.trainer.utils._CHUNKED_LOGPROB_CHUNK_SIZE", 1024)
    plan = plan_of(config(), lora, batch, length, dtype, gradient_checkpointing=checkpointing)
    assert estimate_total(plan) == pytest.approx(
        peak(train, config(), lora, checkpointing, batch, length, dtype), rel=0.12
    )


@pytest.mark.parametrize(
    "lora", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["full", "lora"]
)
def test_with_a_large_vocabulary_the_head_decides_and_its_peak_is_estimated(lora):
    large = config(vocab_size=LOGPROB_TILE[1], num_hidden_layers=2)
    plan = plan_of(large, lora, 2, 64, gradient_checkpointing=True)
    parts = estimate_parts(plan)
    assert parts["logits"] > sum(parts.values()) / 3
    assert estimate_total(plan) == pytest.approx(peak(train, large, lora, True, 2, 64), rel=0.05)


def _status(key):
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(key))


def _resident(queue, *args):
    torch.set_num_threads(1)
    train(config(num_hidden_layers=1), *args[1:3], 2, 8)  # what is loaded on first use
    Path("/proc/self/clear_refs").write_text("5")  # VmHWM starts again
    before = _status("VmRSS")
    train(*args)
    queue.put(_status("VmHWM") - before)


@pytest.mark.slow
def test_the_kernel_counts_what_the_estimate_says(monkeypatch):
    """Resident memory of a process of its own. malloc hands back what is freed at once, as CUDA's allocator would use it again."""
    monkeypatch.setenv("MALLOC_MMAP_THRESHOLD_", "65536")
    large = config(hidden_size=256, intermediate_size=1024, vocab_size=8192, num_hidden_layers=6)
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    process = context.Process(target=_resident, args=(queue, large, False, False, 2, 96))
    process.start()
    measured = queue.get(timeout=120)
    process.join()
    assert estimate_total(plan_of(large, False, 2, 96)) == pytest.approx(measured, rel=0.25)


def test_generation_peaks_where_the_estimate_says():
    from transformers import AutoModelForCausalLM

    one = config(num_key_value_heads=4)
    plan = plan_of(one, True, 1, 16, prompt_length=112, generation_rows=16)
    parts = estimate_parts(plan)
    assert parts["kv cache"]
    model = AutoModelForCausalLM.from_config(one).eval()
    ids = torch.randint(3, 1024, (16, 112))
    kwargs = {
        "max_new_tokens": 16,
        "min_new_tokens": 16,
        "do_sample": True,
        "attention_mask": torch.ones_like(ids),
    }
    measured = peak(lambda: model.generate(ids, pad_token_id=0, **kwargs))
    assert sum(parts[part] for part in ("kv cache", "logits", "activations")) == pytest.approx(
        measured, rel=0.25
    )


def test_the_tile_is_the_one_of_the_trl_that_is_installed():
    from trl.kernels.chunked_logprob import TOKEN_CHUNK_SIZE
    from trl.trainer.utils import _CHUNKED_LOGPROB_CHUNK_SIZE

    assert (TOKEN_CHUNK_SIZE, _CHUNKED_LOGPROB_CHUNK_SIZE) == LOGPROB_TILE


def test_what_is_counted_without_loading_is_what_a_loaded_model_has():
    for lora in (False, True):
        model = model_of(config("Qwen3"), lora)
        shape = shape_of(config("Qwen3"), adapters() if lora else None)
        trainable = sum(p.numel() for p in model.parameters() if p.requires_grad)
        assert (shape.trainable, shape.qk_norm, shape.trains_head) == (trainable, True, not lora)
        assert shape.parameters + lora * trainable == sum(p.numel() for p in model.parameters())


def test_a_weight_in_four_bits_is_as_large_as_bitsandbytes_makes_it():
    from bitsandbytes.nn import Linear4bit

    layer = Linear4bit(256, 512, bias=False, quant_type="nf4", compress_statistics=False).to("cpu")
    real = (
        layer.weight.numel() * layer.weight.element_size() + layer.weight.quant_state.absmax.nbytes
    )
    plan = plan_of(config(), True, 1, 1, "bf16", bits=4)
    shape = replace(plan.shape, parameters=256 * 512, linear=256 * 512, trainable=0)
    assert estimate_parts(replace(plan, shape=shape))["weights"] == real
