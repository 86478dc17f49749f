"""Samples a batch token by token, without computing what is known or finished.

`generate(custom_generate=decode_with_shrinking_batch)` is transformers' own sampling with two
differences: a prompt with several completions is read once, and rows that have ended leave the
batch. Plain `generate` carries them along until the longest has ended.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

# Steps between looks at which rows have ended: each look makes a GPU wait.
_CHECK_INTERVAL = 4
# Copying the cache pays once at most this fraction of the rows is active.
_COMPACT_BELOW = 0.9


def decode_with_shrinking_batch(
    model: Any,
    input_ids: "torch.Tensor",
    logits_processor: Any,
    stopping_criteria: Any,
    generation_config: Any,
    samples: int = 1,
    synced_gpus: bool = False,
    **model_kwargs: Any,
) -> "torch.Tensor":
    """Prompts and completions, (prompts x samples, tokens), padded on both sides.

    The completions of a prompt follow each other.

    Args:
        input_ids: (prompts, tokens), padded on the left; this and the other arguments are what
            `generate` passes to its own sampling.
        samples: completions of each prompt.
    """
    import torch

    del synced_gpus  # every process holds the whole model
    pad = generation_config._pad_token_tensor.to(input_ids.device)
    max_length = stopping_criteria.max_length

    # Prefill: read each prompt once, then repeat its cache for all of its completions.
    outputs = model._prefill(input_ids, generation_config, model_kwargs)
    model_kwargs = model._update_model_kwargs_for_generation(outputs, model_kwargs)
    rows = torch.arange(len(input_ids), device=input_ids.device).repeat_interleave(samples)
    input_ids, model_kwargs = _select_rows(input_ids, model_kwargs, rows)
    logits = outputs.logits[rows, -1]

    row_of = torch.arange(len(input_ids), device=input_ids.device)  # completion of each batch row
    sequences = input_ids.new_full((len(input_ids), max_length), int(pad))
    finished = torch.zeros_like(row_of, dtype=torch.bool)
    while True:
        # Sample one token for every row of the batch.
        scores = logits_processor(input_ids, logits.float())
        if generation_config.do_sample:
            tokens = torch.multinomial(scores.softmax(-1), 1).squeeze(1)
        else:
            tokens = scores.argmax(-1)
        tokens = torch.where(finished, pad, tokens)
        input_ids = torch.cat([input_ids, tokens[:, None]], dim=-1)
        finished |= stopping_criteria(input_ids, None)

        # Compact: copy finished rows out, and keep only the active ones in the batch.
        length = input_ids.shape[1]
        is_last = length == max_length
        if is_last or length % _CHECK_INTERVAL == 0:
            active = (~finished).nonzero().squeeze(1)
            if is_last or len(active) <= _COMPACT_BELOW * len(row_of):
                sequences[row_of, :length] = input_ids
                if is_last or not len(active):
                    return sequences
                row_of = row_of[active]
                finished = finished[active]
                input_ids, model_kwargs = _select_rows(input_ids, model_kwargs, active)

        # Feed the new tokens to the model.
        inputs = model.prepare_inputs_for_generation(
            input_ids, next_sequence_length=1, **model_kwargs
        )
        outputs = model(**inputs, return_dict=True)
        model_kwargs = model._update_model_kwargs_for_generation(outputs, model_kwargs)
        logits = outputs.logits[:, -1]


def _select_rows(
    input_ids: "torch.Tensor", model_kwargs: dict[str, Any], rows: "torch.Tensor"
) -> tuple["torch.Tensor", dict[str, Any]]:
    """The given rows of the token ids, of the cache, and of all tensors that belong to them."""
    import torch

    # Beam search selects rows of the cache in the same way.
    model_kwargs["past_key_values"].reorder_cache(rows)
    selected = dict(model_kwargs)
    for key, value in model_kwargs.items():
        if isinstance(value, torch.Tensor):  # masks and position ids are (..., rows, tokens)
            selected[key] = value.index_select(-2, rows)
    return input_ids[rows], selected
