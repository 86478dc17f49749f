"""The small models of recipes/arithmetic with attention heads of a size that vLLM has kernels for on every machine."""

import math
from pathlib import Path

HEAD_SIZE = (
    32  # the smallest one that vLLM's CPU attention knows; the shipped models have 24 and 14
)


def widen(source: Path, folder: Path) -> Path:
    """Writes to `folder` a model with heads of 32 that computes what `source` computes.

    The added dimensions are zero. Rotary embeddings turn dimension i with i + size/2 at theta^(-2i/size), so the old ones keep
    their partners and, by another theta, their speeds; and since attention divides by the root of the size, queries grow by it.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

    small = AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32)
    heads, size = small.config.num_attention_heads, small.config.head_dim
    theta = small.config.rope_parameters["rope_theta"] ** (HEAD_SIZE / size)
    changes = {
        "head_dim": HEAD_SIZE,
        "rope_parameters": {"rope_type": "default", "rope_theta": theta},
    }
    wide = LlamaForCausalLM(LlamaConfig.from_dict(small.config.to_dict() | changes)).float()
    places = [*range(size // 2), *range(HEAD_SIZE // 2, HEAD_SIZE // 2 + size // 2)]
    weights = wide.state_dict()
    for name, weight in small.state_dict().items():
        if "self_attn" not in name:
            weights[name] = weight
            continue
        weights[name].zero_()
        if "o_proj" in name:
            weights[name].view(-1, heads, HEAD_SIZE)[:, :, places] = weight.view(-1, heads, size)
        else:
            scale = math.sqrt(HEAD_SIZE / size) if "q_proj" in name else 1.0
            weights[name].view(heads, HEAD_SIZE, -1)[:, places] = scale * weight.view(
                heads, size, -1
            )
    wide.load_state_dict(weights)
    wide.generation_config = small.generation_config
    wide.save_pretrained(folder)
    AutoTokenizer.from_pretrained(source).save_pretrained(folder)
    return folder
