"""The order in which a trainer sees the rows."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datasets import Dataset


def longest_first(
    dataset: "Dataset", count: int, seed: int | None, column: str = "prompt_tokens"
) -> "Dataset":
    """The same rows, with the `count` longest ones where a sampler with `seed` reads first.

    The other rows are read in the sampler's random order. It is one that reads in the order of
    torch.randperm: TRL's RepeatSampler, or transformers' BatchRebalanceSampler.

    Args:
        seed: the sampler's; `None` if it reads from the beginning.
        column: holds the length of each row.
    """
    import torch

    # The positions in the order in which the sampler reads them, and the rows to put there.
    positions = list(range(len(dataset)))
    if seed is not None:
        generator = torch.Generator().manual_seed(seed)
        positions = torch.randperm(len(dataset), generator=generator).tolist()
    lengths = list(dataset[column])
    longest = sorted(range(len(dataset)), key=lambda row: -lengths[row])

    # Swap each of the longest rows with the row at its new position.
    row_at = list(range(len(dataset)))
    position_of = list(range(len(dataset)))
    for position, row in zip(positions[:count], longest[:count], strict=True):
        displaced = row_at[position]
        old_position = position_of[row]
        row_at[position] = row
        row_at[old_position] = displaced
        position_of[row] = position
        position_of[displaced] = old_position
    return dataset.select(row_at)
