"""Tiny untrained models for the memory tests, their plans, and how their memory is measured."""

import gc

import torch

from recipes.core.memory.model_shape import model_shape
from recipes.core.memory.plan import MemoryPlan

SIZES = {
    "hidden_size": 128,
    "intermediate_size": 512,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "num_hidden_layers": 3,
    "vocab_size": 1024,
    "tie_word_embeddings": True,
}
# Bytes of a weight and of an element under autocast.
DTYPES = {"fp32": (4, 4), "bf16": (2, 2), "fp32 with autocast": (4, 2)}


def make_config(family="Llama", **sizes):
    """The transformers config of a tiny model."""
    import transformers

    config_class = getattr(transformers, f"{family}Config")
    if family == "Qwen3":
        sizes = {"head_dim": 32} | sizes
    return config_class(**SIZES | sizes)


def make_adapters():
    from peft import LoraConfig

    return LoraConfig(r=16, target_modules="all-linear", task_type="CAUSAL_LM")


def make_model(config, lora, dtype="fp32"):
    """The model, in training mode and wrapped in adapters if `lora`."""
    from peft import get_peft_model
    from transformers import AutoModelForCausalLM

    weight_bytes, _ = DTYPES[dtype]
    weight_dtype = {4: torch.float32, 2: torch.bfloat16}[weight_bytes]
    model = AutoModelForCausalLM.from_config(config, dtype=weight_dtype)
    if lora:
        model = get_peft_model(model, make_adapters())
    return model.train()


def make_plan(config, lora, batch, length, dtype="fp32", **fields):
    """The plan of training this model on a CPU."""
    weight_bytes, compute_bytes = DTYPES[dtype]
    defaults = {
        "per_device_train_batch_size": batch,
        "gradient_accumulation_steps": 2,
        "gradient_checkpointing": False,
        "optim": "adamw_torch_fused",
        "prompt_length": 0,
        "completion_length": length,
        "weight_bytes": weight_bytes,
        "compute_bytes": compute_bytes,
        "accelerator": False,
    }
    shape = model_shape(config, make_adapters() if lora else None)
    return MemoryPlan(shape, **defaults | fields)


def forward(model, batch, length, dtype="fp32", **kwargs):
    """A forward pass on random tokens; the first row is padded, so attention needs its mask."""
    ids = torch.randint(0, model.config.vocab_size, (batch, length))
    mask = torch.ones_like(ids)
    mask[0, :3] = 0
    if kwargs.get("fused_lm_head"):
        kwargs["labels"] = ids
    _, compute_bytes = DTYPES[dtype]
    with torch.autocast("cpu", torch.bfloat16, enabled=compute_bytes == 2):
        return model(input_ids=ids, attention_mask=mask, **kwargs)


def train(config, lora, checkpointing, batch, length, dtype="fp32"):
    """Two backward passes through TRL's loss.

    The first, on one row, is followed by an optimiser step, which creates the states. The second,
    on `batch` rows, adds its gradients to existing ones: that is where training peaks.
    """
    from trl.trainer.utils import add_fused_lm_head

    model = make_model(config, lora, dtype)
    base = model.get_base_model() if lora else model
    add_fused_lm_head(base, outputs=("log_probs", "entropy"))
    if checkpointing:
        model.enable_input_require_grads()
        model.gradient_checkpointing_enable()
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    optimiser = torch.optim.AdamW(trained, fused=True)

    forward(model, 1, 8, dtype, fused_lm_head=True).loss.backward()
    optimiser.step()
    forward(model, batch, length, dtype, fused_lm_head=True).loss.backward()


def peak_bytes(function, *args):
    """The most that torch's allocator held at once, beyond what it held before.

    The equivalent of `torch.cuda.max_memory_allocated` for a CPU.
    """
    gc.collect()
    gc.disable()  # freeing older tensors meanwhile would hide new ones
    try:
        cpu = torch.profiler.ProfilerActivity.CPU
        with torch.profiler.profile(activities=[cpu], profile_memory=True) as profile:
            function(*args)
    finally:
        gc.enable()

    # Every allocation (positive) and release (negative), in the order in which they happened.
    events = [
        (event.start_ns(), event.nbytes())
        for event in profile.profiler.kineto_results.events()
        if event.name() == "[memory]"
    ]
    held = 0
    peak = 0
    for _, size in sorted(events, key=lambda event: event[0]):
        held += size
        peak = max(peak, held)
    return peak
