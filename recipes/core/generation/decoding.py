"""Sampling a batch token by token, without paying for what is already there or already done.

`generate(custom_generate=leaving)` is transformers' own sampling with two differences: a prompt that is answered several times is
read once, and rows that have ended leave the batch. Plain `generate` carries them along to the end of the longest.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

_LOOK_EVERY = 4  # steps between looks at who has ended: each costs a GPU a synchronisation
_WORTH_LEAVING = 0.9  # the cache is copied when no more than this share of the rows is left


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
    """Prompts and completions, (prompts x samples, tokens), padded at both ends; a prompt's samples follow each other.

    Args:
        input_ids: (prompts, tokens), padded at the left. The other arguments, too, are what `generate` hands to its sampling.
        samples: completions of each prompt.
    """
    import torch

    del synced_gpus  # every process holds the whole model
    pad = generation_config._pad_token_tensor.to(input_ids.device)
    outputs = model._prefill(input_ids, generation_config, model_kwargs)
    model_kwargs = model._update_model_kwargs_for_generation(outputs, model_kwargs)
    here = torch.arange(len(input_ids), device=input_ids.device).repeat_interleave(samples)
    input_ids, model_kwargs = _select_rows(input_ids, model_kwargs, here)
    logits = outputs.logits[here, -1]
    here = torch.arange(
        len(input_ids), device=input_ids.device
    )  # which completion each row of the batch is
    sequences = input_ids.new_full((len(input_ids), stopping_criteria.max_length), int(pad))
    ended = torch.zeros_like(here, dtype=torch.bool)
    while True:
        scores = logits_processor(input_ids, logits.float())
        tokens = (
            torch.multinomial(scores.softmax(-1), 1).squeeze(1)
            if generation_config.do_sample
            else scores.argmax(-1)
        )
        input_ids = torch.cat([input_ids, torch.where(ended, pad, tokens)[:, None]], dim=-1)
        ended |= stopping_criteria(input_ids, None)
        length = input_ids.shape[1]
        last = length == stopping_criteria.max_length
        if last or length % _LOOK_EVERY == 0:
            left = (~ended).nonzero().squeeze(1)
            if last or len(left) <= _WORTH_LEAVING * len(here):
                sequences[here, :length] = input_ids
                if last or not len(left):
                    return sequences
                here, ended = here[left], ended[left]
                input_ids, model_kwargs = _select_rows(input_ids, model_kwargs, left)
        inputs = model.prepare_inputs_for_generation(
            input_ids, next_sequence_length=1, **model_kwargs
        )
        outputs = model(**inputs, return_dict=True)
        model_kwargs = model._update_model_kwargs_for_generation(outputs, model_kwargs)
        logits = outputs.logits[:, -1]


def _select_rows(
    ids: "torch.Tensor", model_kwargs: dict[str, Any], rows: "torch.Tensor"
) -> tuple["torch.Tensor", dict[str, Any]]:
    """The given rows of the token ids, of the cache (which knows that from beam search) and of everything that goes with them."""
    import torch

    model_kwargs["past_key_values"].reorder_cache(rows)
    taken = {  # masks and position ids are (..., rows, tokens)
        key: value.index_select(-2, rows) if isinstance(value, torch.Tensor) else value
        for key, value in model_kwargs.items()
    }
    return ids[rows], taken
