"""Sampling completions from a model on this machine."""

import inspect
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


@dataclass
class SamplingArguments:
    """How completions are drawn. The names are GRPOConfig's; written beside every score and every trace."""

    num_generations: int = field(default=4, metadata={"help": "Completions per question."})
    max_completion_length: int = field(
        default=1024, metadata={"help": "Longest completion, in tokens."}
    )
    temperature: float = field(default=1.0, metadata={"help": "0 is greedy."})
    top_p: float = field(default=1.0, metadata={"help": "Nucleus sampling; 1.0 is off."})
    top_k: int = field(default=0, metadata={"help": "0 is off."})


@dataclass(frozen=True)
class Completion:
    """One completion: its text without special tokens, its length in tokens, and whether the model ended it itself."""

    text: str
    tokens: int
    finished: bool


def sample_completions(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    prompts: list[str],
    args: SamplingArguments,
    seed: int,
) -> list[Completion]:
    """`num_generations` completions for each of `prompts` (rendered text), in their order; one batch. The same seed and the same
    batch give the same completions."""
    import torch

    from recipes.core.generation.decoding import decode_with_shrinking_batch

    torch.manual_seed(seed)
    # Mamba and its like have no cache that rows could leave.
    cached = (
        model.generation_config.use_cache is not False
        and "past_key_values" in inspect.signature(model.forward).parameters
    )
    if not cached:
        prompts = [prompt for prompt in prompts for _ in range(args.num_generations)]
    inputs = tokenizer(prompts, return_tensors="pt", padding=True, add_special_tokens=False).to(
        model.device
    )
    ends = _end_token_ids(model, tokenizer)
    settings: dict[str, Any] = {"do_sample": args.temperature > 0}
    if args.temperature > 0:
        settings |= {"temperature": args.temperature, "top_p": args.top_p, "top_k": args.top_k}
    if cached:
        settings |= {
            "custom_generate": decode_with_shrinking_batch,
            "samples": args.num_generations,
        }
    with torch.inference_mode():
        generate: Any = model.generate  # transformers' types confuse it with a tensor
        output = generate(
            **inputs,
            **settings,
            max_new_tokens=args.max_completion_length,
            eos_token_id=ends,
            pad_token_id=tokenizer.pad_token_id,
        )
    completions = []
    for ids in output[:, inputs["input_ids"].shape[1] :].tolist():
        length = next((i for i, token in enumerate(ids) if token in ends), None)
        kept = ids if length is None else ids[: length + 1]
        completions.append(
            Completion(
                str(tokenizer.decode(kept, skip_special_tokens=True)), len(kept), length is not None
            )
        )
    return completions


def batches(total: int, size: int) -> Iterator[range]:
    """The indices 0 to `total`, in runs of at most `size`."""
    for start in range(0, total, size):
        yield range(start, min(start + size, total))


def _end_token_ids(model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase") -> list[int]:
    ends = model.generation_config.eos_token_id
    return sorted(
        {
            tokenizer.eos_token_id,
            *(ends if isinstance(ends, list) else [] if ends is None else [ends]),
        }
    )
