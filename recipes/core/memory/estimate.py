"""How many bytes a process needs on its device to train, from its plan.

What is counted is what autograd keeps in the stack that is pinned (transformers' Llama, Mistral and Qwen layers, TRL's fused head),
after Korthikanti et al., arXiv 2205.05198, for RMSNorm, rotary positions, a gated MLP and attention without stored scores. Not
counted: experts, image towers, vLLM in the same process, the CUDA context, and gaps in the allocator's blocks.
With `gradient_accumulation_steps: 1` it is too high by up to the gradients, which then come as activations go.
"""

from recipes.core.memory.plan import MemoryPlan

OPTIMIZER_STATES = {
    "ademamix": 3,
    "adam": 2,
    "lion": 1,
    "rmsprop": 1,
    "adagrad": 1,
    "sgd": 0,
    "adafactor": 0,
}  # tensors a parameter
LOGPROB_TILE = (
    4096,
    32768,
)  # tokens and vocabulary that TRL's head projects at a time: trl/kernels/chunked_logprob.py, trainer/utils.py
ZERO_BUCKET_ELEMENTS = 500_000_000  # elements of DeepSpeed's reduce_bucket_size, reserved whole however small the model


def estimate_parts(plan: MemoryPlan) -> dict[str, int]:
    """Bytes of each part at the moment that needs the most: the head's backward pass, the last layer's, or generation."""
    s, stays = plan.shape, _static_bytes(plan)
    tokens = plan.per_device_train_batch_size * (plan.prompt_length + plan.completion_length)
    layer, work = layer_bytes(plan)
    between = tokens * s.hidden * plan.weight_bytes
    kept = s.layers * (
        between if plan.gradient_checkpointing else layer
    )  # arXiv 2205.05198, section 5
    kept += 2 * between + tokens * s.hidden * 4  # the last norm, and the head's input
    moments = [
        stays | {"activations": kept, "logits": _head_bytes(plan)},
        stays | {"activations": kept + work + (layer if plan.gradient_checkpointing else 0)},
    ]
    rows, held = plan.generation_rows, stays | {"gradients": 0, "buffers": 0}
    if plan.sharding == "zero3":  # TRL gathers the whole model: ds3_gather_for_generation
        held["weights"] += s.parameters * plan.compute_bytes
    of_a_token = s.layers * 2 * s.kv_heads * s.head_dim * plan.compute_bytes
    reading = (
        rows
        * plan.prompt_length
        * (s.hidden * (4 + 2 * plan.weight_bytes) + 3 * s.intermediate * plan.compute_bytes)
    )
    logits = (
        rows * s.vocabulary * (plan.compute_bytes + 12)
    )  # of one token; in fp32: a copy, the scaled one, probabilities
    for length, activations in (
        (plan.prompt_length, reading),
        (plan.prompt_length + plan.completion_length, 0),
    ):
        moments.append(
            held
            | {"kv cache": rows * length * of_a_token, "logits": logits, "activations": activations}
        )
    return max(moments, key=lambda parts: sum(parts.values()))


def estimate_total(plan: MemoryPlan) -> int:
    return sum(estimate_parts(plan).values())


def _static_bytes(plan: MemoryPlan) -> dict[str, int]:
    """Weights, gradients, optimiser and communication buffers. With DeepSpeed: ZeRO's 2 + 2 + 12 bytes, arXiv 1910.02054, 3.1."""
    s, zero = plan.shape, plan.sharding.startswith("zero")
    quantised = {4: 0.5 + 4 / 64, 8: 1.0}.get(
        plan.bits, plan.weight_bytes
    )  # NF4 has an fp32 scale for every 64 weights
    frozen = s.parameters if s.adapted else 0
    of_trained = _trained_bytes(plan)
    base = int(s.linear * quantised) if frozen else 0
    weights = (
        int(s.trainable * of_trained) + (frozen - s.linear if frozen else 0) * plan.weight_bytes
    )
    gradients = s.trainable * of_trained
    count = next((states for name, states in OPTIMIZER_STATES.items() if name in plan.optim), 2)
    if (
        "8bit" in plan.optim or "4bit" in plan.optim
    ):  # fp32 scales for every 256; transformers keeps embeddings at 32 bits
        full = 0 if s.adapted else s.embedding
        optimiser = int(count * (4 * full + (s.trainable - full) * (1 + 4 / 256)))
    else:  # torch's states have the dtype of the parameters, bitsandbytes' are in fp32
        optimiser = (
            s.trainable * count * (4 if zero or plan.optim.endswith("32bit") else of_trained)
        )
    if zero:
        optimiser += 4 * s.trainable  # fp32 copies of what is trained
    live = 0
    if plan.sharding in ("zero3", "fsdp2"):
        weights //= plan.processes
        if plan.sharding == "zero3" or plan.bits == 16:  # FSDP2 does not split integers
            base //= plan.processes
        live = (
            2 * s.linear // s.layers + s.embedding
        ) * plan.compute_bytes  # gathered: a layer, the next one, the head
    if plan.sharding in ("zero2", "zero3", "fsdp2"):
        gradients //= plan.processes
    if zero or plan.sharding == "fsdp2":
        optimiser = 0 if plan.offload else optimiser // plan.processes
    if plan.weight_bytes > plan.compute_bytes:  # autocast's copies, kept for the backward pass
        live += s.linear * plan.compute_bytes // (s.layers if plan.gradient_checkpointing else 1)
    if s.adapted and of_trained > plan.compute_bytes:
        live += s.trainable * plan.compute_bytes
    live += plan.reference * s.parameters * plan.weight_bytes
    buffers = (
        ZERO_BUCKET_ELEMENTS * of_trained if zero else gradients if plan.sharding == "ddp" else 0
    )
    return {
        "weights": weights + base + live,
        "gradients": gradients,
        "optimiser": optimiser,
        "buffers": buffers,
    }


def _trained_bytes(plan: MemoryPlan) -> int:
    """Bytes of a trained parameter: peft makes adapters fp32, TRL those of a quantised model bf16; FSDP trains in fp32."""
    if plan.sharding.startswith("zero"):
        return plan.compute_bytes
    if plan.sharding == "fsdp2":
        return 4
    return (4 if plan.bits == 16 else 2) if plan.shape.adapted else plan.weight_bytes


def layer_bytes(plan: MemoryPlan) -> tuple[int, int]:
    """Bytes that a layer keeps for its backward pass, and that this pass needs at a time. Exact but for `work`: tests."""
    s, c, w = plan.shape, plan.compute_bytes, plan.weight_bytes
    length = plan.prompt_length + plan.completion_length
    queries, keys = s.heads * s.head_dim, s.kv_heads * s.head_dim
    normed = 4 + (0 if s.adapted else w)  # in fp32, and for the norm's own gradient
    kept = 2 * (s.hidden * normed + 4)
    if s.qk_norm:
        kept += (queries + keys) * (4 + (0 if s.adapted else c)) + 4 * (s.heads + s.kv_heads)
    if "flash" in plan.attn_implementation:
        kept += c * 2 * (queries + keys) + 4 * s.heads
    else:  # with a mask, transformers repeats the keys and values for every head; the mask, as numbers, is kept in each layer
        kept += c * 4 * queries + 4 * s.heads + c * length
        kept += s.heads * length * (4 + c) if plan.attn_implementation == "eager" else 0
    kept += c * 3 * s.intermediate
    if (
        not s.adapted
    ):  # inputs of linear maps: shared by maps of one input, unless autocast makes a copy for each
        kept += c * (s.hidden * (2 if w == c else 5) + s.intermediate)
    else:
        shared = _trained_bytes(plan) == c == w
        kept += c * (
            (min(s.adapted, 2 * s.hidden + s.intermediate) if shared else s.adapted) + s.ranks
        )
    tokens = plan.per_device_train_batch_size * length
    work = tokens * (c * 2 * s.intermediate + 8 * s.hidden)  # gradients in the MLP; a norm in fp32
    if (
        not s.adapted or plan.bits < 16
    ):  # a weight's gradient before it is added, or a weight that is no longer quantised
        work += s.hidden * s.intermediate * c
    return tokens * kept, work


def _head_bytes(plan: MemoryPlan) -> int:
    """Bytes of TRL's fused head in its backward pass: never all logits, but a tile; on an accelerator of completions alone, on a
    CPU of all tokens and with 7 intermediate results in fp32 and one in a byte."""
    s = plan.shape
    tokens = plan.per_device_train_batch_size * (
        plan.completion_length + (0 if plan.accelerator else plan.prompt_length)
    )
    columns = LOGPROB_TILE[1] if plan.accelerator else min(LOGPROB_TILE[1], s.vocabulary)
    tile = (
        min(tokens, LOGPROB_TILE[0])
        * columns
        * (plan.compute_bytes + (0 if plan.accelerator else 29))
    )
    gradient = (
        s.vocabulary * s.hidden * (4 + (2 if plan.weight_bytes == 2 else 0)) if s.trains_head else 0
    )
    return tile + tokens * s.hidden * (4 + plan.weight_bytes) + gradient
