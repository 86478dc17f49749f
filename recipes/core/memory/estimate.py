"""Estimates how many bytes a process needs on its device to train, from its memory plan.

The estimate adds up what autograd keeps in the pinned stack: transformers' Llama, Mistral and
Qwen layers, and TRL's fused head. Not counted: experts, image towers, vLLM in the same process,
the CUDA context, and fragmentation of the allocator. With `gradient_accumulation_steps: 1` the
estimate is too high by up to the size of the gradients, which then grow as activations are freed.
"""

from recipes.core.memory.activations import activation_bytes, head_bytes, layer_bytes
from recipes.core.memory.plan import FP32_BYTES, MemoryPlan
from recipes.core.memory.static import static_bytes


def estimate_total(plan: MemoryPlan) -> int:
    """Bytes that the run needs at its peak."""
    return sum(estimate_parts(plan).values())


def estimate_parts(plan: MemoryPlan) -> dict[str, int]:
    """Bytes of each part, in the phase that needs the most."""
    phases = training_phases(plan) | generation_phases(plan)
    return max(phases.values(), key=lambda parts: sum(parts.values()))


def training_phases(plan: MemoryPlan) -> dict[str, dict[str, int]]:
    """Parts of the two moments at which training may peak."""
    static = static_bytes(plan)
    activations = activation_bytes(plan)
    layer = layer_bytes(plan)

    # The last layer's backward pass. With checkpointing, its activations are first recomputed.
    in_layer = activations + layer.workspace
    if plan.gradient_checkpointing:
        in_layer += layer.kept

    return {
        "head backward": static | {"activations": activations, "logits": head_bytes(plan)},
        "layer backward": static | {"activations": in_layer},
    }


def generation_phases(plan: MemoryPlan) -> dict[str, dict[str, int]]:
    """Parts of the two moments at which generation within training may peak."""
    shape = plan.shape
    rows = plan.generation_rows
    compute_bytes = plan.compute_bytes

    # Between two optimiser steps: there are no gradients and no communication.
    static = static_bytes(plan) | {"gradients": 0, "buffers": 0}
    if plan.sharding == "zero3":  # TRL gathers the whole model: ds3_gather_for_generation
        static["weights"] += shape.parameters * compute_bytes

    # The last token's logits as the sampler sees them: an fp32 copy, scaled, and probabilities.
    logits = rows * shape.vocabulary * (compute_bytes + 3 * FP32_BYTES)

    # Prefill reads all prompts at once, layer by layer.
    prompt_tokens = rows * plan.prompt_length
    norm = shape.hidden * (FP32_BYTES + 2 * plan.weight_bytes)  # residual, fp32 copy, output
    mlp = 3 * shape.intermediate * compute_bytes  # gate, up and their product
    reading = prompt_tokens * (norm + mlp)

    # Keys and values of every layer.
    cache_per_token = shape.layers * 2 * shape.keys * compute_bytes
    prompt_cache = prompt_tokens * cache_per_token
    full_cache = rows * plan.sequence_length * cache_per_token

    prefill = {"kv cache": prompt_cache, "logits": logits, "activations": reading}
    decoding = {"kv cache": full_cache, "logits": logits, "activations": 0}
    return {"prefill": static | prefill, "decoding": static | decoding}
