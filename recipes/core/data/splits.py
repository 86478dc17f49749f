"""Takes a split, or parts of splits, of a dataset: `train`, `train[:90%]`, `train+test[:5]`."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from recipes.core.errors import UserError

if TYPE_CHECKING:
    from datasets import Dataset


def take_split(splits: Mapping[str, Any], source: str, split: str) -> "Dataset":
    """The rows of `split`, whose parts are written as for `datasets.load_dataset`.

    Args:
        splits: datasets by their names, at least those that occur in `split`.
        source: where they are from, for messages.
    """
    from datasets import ReadInstruction, concatenate_datasets

    if split in splits:
        rows: Dataset = splits[split]
        return rows
    # One split, or all of them.
    if split == "all":
        return concatenate_datasets(list(splits.values()))
    # `datasets` reads the parts; we only cut them out.
    lengths = {str(name): len(rows) for name, rows in splits.items()}
    try:
        parts = ReadInstruction.from_spec(split).to_absolute(lengths)
    except ValueError as error:
        names = ", ".join(lengths)
        raise UserError(f"{source}: there is no split {split!r}; there are: {names}") from error
    taken = [splits[part.splitname].select(range(part.from_, part.to)) for part in parts]
    return taken[0] if len(taken) == 1 else concatenate_datasets(taken)
