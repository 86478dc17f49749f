"""The small models of recipes/arithmetic, with attention heads of a size that vLLM supports."""

import math
from pathlib import Path

# The smallest size that vLLM's attention has on a CPU; the heads of the models have 24 and 14.
HEAD_SIZE = 32


def widen(source: Path, folder: Path) -> Path:
    """Writes to `folder` a model with heads of 32 that computes what `source` computes.

    The added dimensions are zero. Rotary embeddings turn dimension i together with i + size/2, at
    the speed theta^(-2i/size): the old dimensions keep their partners and, with another theta,
    their speeds. Attention divides by the root of the size, so the queries are scaled up by it.
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
