"""Bytes that a process holds throughout training: weights, gradients, optimiser, buffers.

With DeepSpeed these are the 2 + 2 + 12 bytes a parameter of ZeRO (arXiv 1910.02054, section 3.1).
"""

from recipes.core.memory.plan import FP32_BYTES, MemoryPlan

# Tensors that an optimiser keeps for each parameter. The first name found in `optim` counts.
OPTIMIZER_STATES = {
    "ademamix": 3,
    "adam": 2,
    "lion": 1,
    "rmsprop": 1,
    "adagrad": 1,
    "sgd": 0,
    "adafactor": 0,  # factored: a row and a column instead of a matrix
}
UNKNOWN_OPTIMIZER_STATES = 2  # as many as Adam's

# bitsandbytes stores one fp32 scale for every block of elements.
NF4_BYTES = 0.5 + FP32_BYTES / 64  # a weight with load_in_4bit
INT8_BYTES = 1.0  # a weight with load_in_8bit; its scales are one a row, and not counted
STATE_8BIT_BYTES = 1 + FP32_BYTES / 256  # an element of a state in 8 bits

# DeepSpeed's default reduce_bucket_size, in elements: reserved in full however small the model.
ZERO_BUCKET_ELEMENTS = 500_000_000


def static_bytes(plan: MemoryPlan) -> dict[str, int]:
    """Bytes of the weights, the gradients, the optimiser and the communication buffers."""
    weights = _trained_weight_bytes(plan) + _frozen_linear_bytes(plan)
    return {
        "weights": weights + _gathered_bytes(plan) + _weight_copy_bytes(plan),
        "gradients": _gradient_bytes(plan),
        "optimiser": _optimizer_bytes(plan),
        "buffers": _buffer_bytes(plan),
    }


def _trained_weight_bytes(plan: MemoryPlan) -> int:
    """Trained parameters; with adapters, also the frozen parameters outside linear layers."""
    shape = plan.shape
    weights = shape.trainable * plan.trained_bytes
    if shape.adapted:
        weights += (shape.parameters - shape.linear) * plan.weight_bytes
    return weights // plan.processes if plan.shards_weights else weights


def _frozen_linear_bytes(plan: MemoryPlan) -> int:
    """Linear layers below adapters, quantised or not."""
    if not plan.shape.adapted:
        return 0
    element_bytes = {4: NF4_BYTES, 8: INT8_BYTES}.get(plan.bits, plan.weight_bytes)
    frozen = int(plan.shape.linear * element_bytes)

    # FSDP2 does not shard integers, so each process holds all quantised weights.
    replicated = plan.sharding == "fsdp2" and plan.bits != 16
    if plan.shards_weights and not replicated:
        return frozen // plan.processes
    return frozen


def _gathered_bytes(plan: MemoryPlan) -> int:
    """Sharded weights that are gathered at a time: a layer, the prefetched next one, the head."""
    if not plan.shards_weights:
        return 0
    two_layers = 2 * plan.shape.linear // plan.shape.layers
    return (two_layers + plan.shape.embedding) * plan.compute_bytes


def _weight_copy_bytes(plan: MemoryPlan) -> int:
    """Further copies of the weights: those of autocast, and the reference model."""
    shape = plan.shape
    copies = 0

    # Autocast's casts of the linear layers, kept for the backward pass: with checkpointing,
    # of one layer at a time.
    if plan.weight_bytes > plan.compute_bytes:
        cast_layers = shape.layers if plan.gradient_checkpointing else 1
        copies += shape.linear * plan.compute_bytes // cast_layers

    # Autocast's casts of the adapters.
    if shape.adapted and plan.trained_bytes > plan.compute_bytes:
        copies += shape.trainable * plan.compute_bytes

    # The reference model of the KL term.
    if plan.reference:
        copies += shape.parameters * plan.weight_bytes
    return copies


def _gradient_bytes(plan: MemoryPlan) -> int:
    """One gradient for each trained parameter, in the parameter's dtype."""
    gradients = plan.shape.trainable * plan.trained_bytes
    if plan.sharding in ("zero2", "zero3", "fsdp2"):
        return gradients // plan.processes
    return gradients


def _optimizer_bytes(plan: MemoryPlan) -> int:
    """The optimiser's states; with DeepSpeed, also its fp32 copy of the trained parameters."""
    trainable = plan.shape.trainable
    optimiser = _optimizer_state_bytes(plan)
    if plan.uses_deepspeed:
        optimiser += trainable * FP32_BYTES

    # Every stage of ZeRO and FSDP2 shard the optimiser, and may offload it.
    if plan.uses_deepspeed or plan.sharding == "fsdp2":
        return 0 if plan.offload else optimiser // plan.processes
    return optimiser


def _optimizer_state_bytes(plan: MemoryPlan) -> int:
    """The states of all trained parameters, before sharding."""
    trainable = plan.shape.trainable
    states = UNKNOWN_OPTIMIZER_STATES
    for name, count in OPTIMIZER_STATES.items():
        if name in plan.optim:
            states = count
            break

    # Quantised states. transformers keeps those of embeddings in fp32.
    if "8bit" in plan.optim or "4bit" in plan.optim:
        embedding = 0 if plan.shape.adapted else plan.shape.embedding
        quantised = (trainable - embedding) * STATE_8BIT_BYTES
        return int(states * (FP32_BYTES * embedding + quantised))

    # States in fp32 with DeepSpeed and bitsandbytes; torch's have the parameters' dtype.
    in_fp32 = plan.uses_deepspeed or plan.optim.endswith("32bit")
    return trainable * states * (FP32_BYTES if in_fp32 else plan.trained_bytes)


def _buffer_bytes(plan: MemoryPlan) -> int:
    """Communication buffers: DeepSpeed's reduce bucket, or DDP's buckets of all gradients."""
    if plan.uses_deepspeed:
        return ZERO_BUCKET_ELEMENTS * plan.trained_bytes
    if plan.sharding == "ddp":
        return _gradient_bytes(plan)
    return 0
