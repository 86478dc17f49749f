"""Bytes of what a forward pass keeps for its backward pass, and of what both need at a time.

The terms follow Korthikanti et al., arXiv 2205.05198, section 4.1, adapted to a decoder with
RMSNorm, rotary positions, a gated MLP, and attention that stores no scores. Each term names its
tensor. The tests compare `kept` of a layer with what autograd saves, to the byte.
"""

from typing import NamedTuple

from recipes.core.memory.plan import FP32_BYTES, MemoryPlan

# Tokens and columns of the vocabulary that TRL's fused head projects at a time:
# TOKEN_CHUNK_SIZE in trl/kernels/chunked_logprob.py, and
# _CHUNKED_LOGPROB_CHUNK_SIZE in trl/trainer/utils.py.
LOGPROB_TILE_TOKENS = 4096
LOGPROB_TILE_COLUMNS = 32_768

# Bytes of a tile's element on a CPU, beside the logits: the 7 intermediate results in fp32 and
# the mask of one byte that torch's operators allocate. The Triton kernel of a GPU needs neither.
CPU_TILE_BYTES = 7 * FP32_BYTES + 1


class LayerBytes(NamedTuple):
    """Memory of one decoder layer."""

    kept: int  # saved by autograd until the layer's backward pass
    workspace: int  # needed during the layer's backward pass only


def layer_bytes(plan: MemoryPlan) -> LayerBytes:
    """Bytes of one layer in training. `kept` is exact; `workspace` is an estimate."""
    shape = plan.shape
    kept_per_token = (
        _norm_bytes(plan) + _attention_bytes(plan) + _mlp_bytes(plan) + _linear_input_bytes(plan)
    )

    # Gradients of the MLP's gate and up projections, and of a norm's input and output in fp32.
    workspace_per_token = (
        2 * shape.intermediate * plan.compute_bytes + 2 * shape.hidden * FP32_BYTES
    )
    workspace = plan.batch_tokens * workspace_per_token

    # One MLP matrix: its gradient before it is added to the others, or the dequantised weight.
    if not shape.adapted or plan.bits < 16:
        workspace += shape.hidden * shape.intermediate * plan.compute_bytes
    return LayerBytes(kept=plan.batch_tokens * kept_per_token, workspace=workspace)


def _norm_bytes(plan: MemoryPlan) -> int:
    """Bytes a token that the RMSNorms of a layer keep."""
    shape = plan.shape
    trains_norms = not shape.adapted

    # The norms before attention and before the MLP.
    hidden_norm = shape.hidden * FP32_BYTES  # input, cast to fp32
    hidden_norm += FP32_BYTES  # inverse root mean square
    if trains_norms:
        hidden_norm += shape.hidden * plan.weight_bytes  # normalised input, for the norm's gradient
    norms = 2 * hidden_norm

    # The norms of queries and keys, one for each head.
    if shape.qk_norm:
        normalised = shape.queries + shape.keys
        norms += normalised * FP32_BYTES  # queries and keys, cast to fp32
        norms += (shape.heads + shape.kv_heads) * FP32_BYTES  # inverse root mean squares
        if trains_norms:
            norms += normalised * plan.compute_bytes  # normalised queries and keys
    return norms


def _attention_bytes(plan: MemoryPlan) -> int:
    """Bytes a token that the attention of a layer keeps."""
    shape = plan.shape
    compute_bytes = plan.compute_bytes
    attention = shape.heads * FP32_BYTES  # log-sum-exp of the scores

    if "flash" in plan.attn_implementation:
        attention += 2 * shape.queries * compute_bytes  # queries and output
        attention += 2 * shape.keys * compute_bytes  # keys and values
        return attention

    # With a mask, transformers repeats the keys and values for every head.
    attention += 2 * shape.queries * compute_bytes  # queries and output
    attention += 2 * shape.queries * compute_bytes  # repeated keys and values
    attention += plan.sequence_length * compute_bytes  # additive mask, kept by every layer
    if plan.attn_implementation == "eager":
        scores = shape.heads * plan.sequence_length
        attention += scores * FP32_BYTES  # probabilities in fp32
        attention += scores * compute_bytes  # probabilities, cast back
    return attention


def _mlp_bytes(plan: MemoryPlan) -> int:
    """Bytes a token that the gated MLP of a layer keeps: gate, silu(gate) and up."""
    return 3 * plan.shape.intermediate * plan.compute_bytes


def _linear_input_bytes(plan: MemoryPlan) -> int:
    """Bytes a token of the inputs that linear maps keep for the gradients of their weights."""
    shape = plan.shape
    compute_bytes = plan.compute_bytes

    # Full fine-tuning. Queries, keys and values share an input, as do gate and up; but autocast
    # casts it for each of the five maps. The output projection's input is the attention's output.
    if not shape.adapted:
        hidden_inputs = 2 if plan.weight_bytes == compute_bytes else 5
        inputs = hidden_inputs * shape.hidden  # of queries, keys, values, gate and up
        inputs += shape.intermediate  # of the down projection
        return inputs * compute_bytes

    # Adapters: only the adapted maps keep their input, shared unless it is cast for each adapter.
    inputs = shape.adapted
    if plan.trained_bytes == compute_bytes == plan.weight_bytes:
        inputs = min(shape.adapted, 2 * shape.hidden + shape.intermediate)
    inputs += shape.ranks  # of lora_B, which is the output of lora_A
    return inputs * compute_bytes


def hidden_state_bytes(plan: MemoryPlan) -> int:
    """Bytes of the hidden states between two layers: what a checkpointed layer keeps."""
    return plan.batch_tokens * plan.shape.hidden * plan.weight_bytes


def activation_bytes(plan: MemoryPlan) -> int:
    """Bytes that are kept at the end of the forward pass: by all layers and the last norm."""
    hidden_states = hidden_state_bytes(plan)

    # With checkpointing a layer keeps its input alone: arXiv 2205.05198, section 5.
    per_layer = hidden_states if plan.gradient_checkpointing else layer_bytes(plan).kept
    kept = plan.shape.layers * per_layer

    kept += plan.batch_tokens * plan.shape.hidden * FP32_BYTES  # the last norm's input, in fp32
    kept += hidden_states  # the last norm's normalised input
    kept += hidden_states  # the head's input
    return kept


def head_bytes(plan: MemoryPlan) -> int:
    """Bytes of TRL's fused head in its backward pass, which never holds all logits but a tile.

    An accelerator's kernel projects completions alone and pads the tile's columns; the CPU's
    implementation projects all tokens.
    """
    shape = plan.shape
    if plan.accelerator:
        tokens = plan.per_device_train_batch_size * plan.completion_length
        columns = LOGPROB_TILE_COLUMNS
        logit_bytes = plan.compute_bytes
    else:
        tokens = plan.batch_tokens
        columns = min(LOGPROB_TILE_COLUMNS, shape.vocabulary)
        logit_bytes = plan.compute_bytes + CPU_TILE_BYTES

    head = min(tokens, LOGPROB_TILE_TOKENS) * columns * logit_bytes  # logits of one tile
    head += tokens * shape.hidden * FP32_BYTES  # gradient of the head's input, summed in fp32
    head += tokens * shape.hidden * plan.weight_bytes  # the same, cast to the input's dtype
    if shape.trains_head:
        elements = shape.vocabulary * shape.hidden
        head += elements * FP32_BYTES  # gradient of the head's weight, summed in fp32
        if plan.weight_bytes == 2:
            head += elements * plan.weight_bytes  # the same, cast to the weight's dtype
    return head
