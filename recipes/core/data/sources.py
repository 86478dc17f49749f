"""Reads one split of a dataset from a hub id, a folder, a file or a function."""

import importlib
from pathlib import Path
from typing import TYPE_CHECKING

from trl import ScriptArguments

from recipes.core.errors import UserError, one_line

if TYPE_CHECKING:
    from datasets import Dataset

# Loaders of the datasets library by the ending of a file.
_FILE_LOADERS = {".jsonl": "json", ".json": "json", ".csv": "csv", ".parquet": "parquet"}


def load_split(args: ScriptArguments, split: str) -> "Dataset":
    """The rows of one split of `dataset_name` as they are.

    Raises `UserError` if the dataset or the split cannot be read.
    """
    import datasets

    assert args.dataset_name
    datasets.disable_progress_bars()  # one for each small file; the stages show their own
    try:
        return _load(args.dataset_name, args.dataset_config, split)
    except UserError:
        raise
    except Exception as error:
        # datasets raises a dozen types for unreadable files, unknown splits and an unreachable
        # hub, each with a message of its own.
        raise UserError(
            f"dataset_name {args.dataset_name!r}, split {split!r}: {_describe(error)}"
        ) from error


def _load(name: str, config: str | None, split: str) -> "Dataset":
    from datasets import load_dataset

    path = Path(name)
    # A path may contain a colon, too: whatever exists is a path.
    if ":" in name and not path.exists():
        return _call_function(name, split)
    if path.is_file():
        return _read_file(path, split)
    if path.is_dir():
        return _read_folder(path, split)

    # Whatever looks like a path is not searched for on the hub.
    if path.suffix in _FILE_LOADERS or name.startswith((".", "/")):
        raise UserError(f"dataset_name: there is no file or folder {name!r}")
    return load_dataset(name, config, split=split)


def _call_function(name: str, split: str) -> "Dataset":
    """`package.module:function` returns a mapping of splits to datasets."""
    module_name, _, function = name.partition(":")
    try:
        splits = getattr(importlib.import_module(module_name), function)()
    except (ImportError, AttributeError) as error:
        raise UserError(f"dataset_name: cannot import {name!r}: {error}") from error
    return _take_split(splits, name, split)


def _read_file(path: Path, split: str) -> "Dataset":
    from datasets import load_dataset

    if path.suffix not in _FILE_LOADERS:
        raise UserError(f"{path}: is not one of {', '.join(_FILE_LOADERS)}")
    files = {"train": str(path)}
    return load_dataset(_FILE_LOADERS[path.suffix], data_files=files, split=split)


def _read_folder(path: Path, split: str) -> "Dataset":
    """A folder that `save_to_disk` wrote, or one of data files as on the hub."""
    from datasets import Dataset, load_dataset, load_from_disk

    # `load_dataset` cannot read what `save_to_disk` wrote: that has a state file.
    is_saved = (path / "dataset_dict.json").exists() or (path / "state.json").exists()
    if not is_saved:
        return load_dataset(str(path), split=split)
    saved = load_from_disk(str(path))
    if isinstance(saved, Dataset):
        saved = {"train": saved}
    return _take_split(saved, str(path), split)


def _take_split(splits: "dict[str, Dataset]", name: str, split: str) -> "Dataset":
    if split not in splits:
        raise UserError(f"{name}: there is no split {split!r}; there are: {', '.join(splits)}")
    return splits[split]


def _describe(error: Exception) -> str:
    """The type and the text of the error, or of the one behind it."""
    cause = error.__cause__ or error
    return f"{type(cause).__name__}: {one_line(cause, 300)}"
