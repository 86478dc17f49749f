"""Attention over a micro-batch that packed_groups.py has packed into one sequence.

Registered with transformers as `packed_sdpa`. Calls without `groups`, such as those of sampling,
are scaled dot-product attention as before.
"""

from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from recipes.core.training.packed_groups import PackedGroups

NAME = "packed_sdpa"


def packed_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    groups: PackedGroups | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """(1, T, heads, dim) from query, key and value of (1, heads, T, dim)."""
    if groups is None:
        return sdpa_attention_forward(module, query, key, value, attention_mask, **kwargs)

    # From here on a token is a row: (T, heads, dim).
    queries, keys, values = (states[0].transpose(0, 1) for states in (query, key, value))
    shared = groups.shared
    row_keys = groups.rows.pad(keys[shared:])
    row_values = groups.rows.pad(values[shared:])
    outputs = []

    # Prompts see themselves; rows see their prompt as well.
    if shared:
        prompt_keys = groups.prompts.pad(keys[:shared])
        prompt_values = groups.prompts.pad(values[:shared])
        prompt_queries = groups.prompts.pad(queries[:shared])
        output, _ = sdpa_attention_forward(
            module, prompt_queries, prompt_keys, prompt_values, None, **kwargs
        )
        outputs.append(groups.prompts.unpad(output))
        row_keys = torch.cat([prompt_keys[groups.prompt_of], row_keys], dim=2)
        row_values = torch.cat([prompt_values[groups.prompt_of], row_values], dim=2)

    row_queries = groups.rows.pad(queries[shared:])
    output, _ = sdpa_attention_forward(
        module, row_queries, row_keys, row_values, attention_mask, **kwargs
    )
    outputs.append(groups.rows.unpad(output))
    return torch.cat(outputs)[None], None


def can_pack(model: Any) -> bool:
    """Whether `model` computes the same with `packed_sdpa`: its attention is full, and sdpa."""
    # Other implementations, such as flash attention, would be replaced.
    config = model.config.get_text_config()
    if config._attn_implementation != "sdpa" or not model._supports_attention_backend:
        return False
    # Windows, linear attention and state spaces look at neighbours in the sequence.
    layer_types = set(getattr(config, "layer_types", None) or ["full_attention"])
    window = getattr(config, "sliding_window", None)
    has_window = window is not None and getattr(config, "use_sliding_window", True)
    return layer_types == {"full_attention"} and not has_window


def use_packed_attention(model: Any) -> None:
    """Makes `model` attend with `packed_sdpa`."""
    AttentionInterface.register(NAME, packed_attention)
    AttentionMaskInterface.register(NAME, sdpa_mask)
    model.config.get_text_config()._attn_implementation = NAME
