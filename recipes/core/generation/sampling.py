"""How completions are sampled: the keys, and one batch of a model in this process."""

import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from recipes.core.generation.types import Completion

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


@dataclass
class SamplingArguments:
    """Keys of sampling, with GRPOConfig's names; written beside every score and every trace."""

    num_generations: int = 4
    max_completion_length: int = 1024
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0


def sample_completions(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    prompts: list[str],
    args: SamplingArguments,
    seed: int,
    add_special_tokens: bool = False,
) -> list[Completion]:
    """`num_generations` completions of each rendered prompt, in order, as one batch.

    The same seed and the same batch give the same completions.

    Args:
        add_special_tokens: for prompts that no chat template has written.
    """
    import torch

    from recipes.core.generation.decoding import decode_with_shrinking_batch

    # Temperature 0 is greedy decoding, which transformers calls `do_sample: False`.
    torch.manual_seed(seed)
    settings: dict[str, Any] = {"do_sample": args.temperature > 0}
    if args.temperature > 0:
        settings |= {"temperature": args.temperature, "top_p": args.top_p, "top_k": args.top_k}

    # Our decoding reads a prompt once for all of its completions, and drops rows that have ended.
    # It needs a cache whose rows can be selected, which Mamba and its like do not have.
    if has_cache(model):
        settings["custom_generate"] = decode_with_shrinking_batch
        settings["samples"] = args.num_generations
    else:
        prompts = [prompt for prompt in prompts for _ in range(args.num_generations)]

    # One batch, padded on the left, until every completion has ended or is long enough.
    inputs = tokenizer(
        prompts, return_tensors="pt", padding=True, add_special_tokens=add_special_tokens
    )
    inputs = inputs.to(model.device)
    end_ids = _end_token_ids(model, tokenizer)
    generate: Any = model.generate  # transformers' types confuse it with a tensor
    with torch.inference_mode():
        output = generate(
            **inputs,
            **settings,
            max_new_tokens=args.max_completion_length,
            eos_token_id=end_ids,
            pad_token_id=tokenizer.pad_token_id,
        )

    # The completions without their prompts.
    token_ids = output[:, inputs["input_ids"].shape[1] :].tolist()
    return [_to_completion(ids, end_ids, tokenizer) for ids in token_ids]


def batches(total: int, size: int) -> Iterator[range]:
    """The indices 0 to `total`, in runs of at most `size`."""
    for start in range(0, total, size):
        yield range(start, min(start + size, total))


def has_cache(model: "PreTrainedModel") -> bool:
    """Whether the model has a cache of keys and values, and uses it."""
    takes_cache = "past_key_values" in inspect.signature(model.forward).parameters
    return takes_cache and model.generation_config.use_cache is not False


def _end_token_ids(model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase") -> list[int]:
    """The tokens that end a completion: the tokenizer's, and those of the model's configuration."""
    ends = {tokenizer.eos_token_id}
    configured = model.generation_config.eos_token_id
    if isinstance(configured, list):
        ends.update(configured)
    elif configured is not None:
        ends.add(configured)
    return sorted(ends)


def _to_completion(
    ids: list[int], end_ids: list[int], tokenizer: "PreTrainedTokenizerBase"
) -> Completion:
    """The tokens up to the first that ends the completion; what follows is padding."""
    length = len(ids)
    finished = False
    for position, token in enumerate(ids):
        if token in end_ids:
            length = position + 1
            finished = True
            break
    text = str(tokenizer.decode(ids[:length], skip_special_tokens=True))
    return Completion(text, length, finished)
