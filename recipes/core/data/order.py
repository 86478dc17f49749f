"""The order in which a trainer sees the rows: the longest first."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedTokenizerBase


def prompt_lengths(dataset: "Dataset", tokenizer: "PreTrainedTokenizerBase") -> list[int]:
    """The tokens of each rendered prompt."""
    from recipes.core.prompts.messages import render_prompt

    return [
        len(tokenizer(render_prompt(tokenizer, prompt), add_special_tokens=False)["input_ids"])
        for prompt in dataset["prompt"]
    ]


def longest_first(
    dataset: "Dataset", lengths: list[int], count: int, seed: int | None
) -> "Dataset":
    """The same rows, the `count` longest of them at the places that a sampler with this seed reads first; `None`: the places at the
    beginning. Which rows come later stays as random as it was.

    Such a sampler is one that reads in the order of torch.randperm: TRL's RepeatSampler, transformers' BatchRebalanceSampler.
    """
    import torch

    rows = list(range(len(dataset)))
    order = (
        rows
        if seed is None
        else torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed)).tolist()
    )
    where = list(rows)  # the place of each row
    for place, row in zip(
        order[:count], sorted(rows, key=lambda row: -lengths[row])[:count], strict=True
    ):
        other, old = rows[place], where[row]
        rows[place], rows[old], where[row], where[other] = row, other, place, old
    return dataset.select(rows)
