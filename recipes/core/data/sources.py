"""Reads one split of a dataset from a hub id, a folder, a file or a function."""

import importlib
from pathlib import Path
from typing import TYPE_CHECKING

from trl import ScriptArguments

from recipes.core.errors import UserError

if TYPE_CHECKING:
    from datasets import Dataset


_READERS = {".jsonl": "json", ".json": "json", ".csv": "csv", ".parquet": "parquet"}


def load_split(args: ScriptArguments, split: str) -> "Dataset":
    """The rows of one split as they are. Raises `UserError` if the dataset or the split cannot be read."""
    import datasets

    name, path = args.dataset_name, Path(args.dataset_name or "")
    assert name
    datasets.disable_progress_bars()  # every read of a small file would draw one; the stages draw their own
    try:
        if ":" in name and not path.exists():
            return _from_function(name, split)
        if path.is_file():
            if path.suffix not in _READERS:
                raise UserError(f"{name}: is not one of {', '.join(_READERS)}")
            return datasets.load_dataset(
                _READERS[path.suffix], data_files={"train": name}, split=split
            )
        if path.is_dir():
            if (path / "dataset_dict.json").exists() or (path / "state.json").exists():
                saved = datasets.load_from_disk(name)
                if isinstance(saved, datasets.Dataset):
                    saved = datasets.DatasetDict({"train": saved})
                return _split_of(saved, name, split)
            return datasets.load_dataset(
                name, split=split
            )  # `dataset_config` is a matter of the hub
        elif path.suffix in _READERS or name.startswith((".", "/")):
            raise UserError(f"dataset_name: there is no file or folder {name!r}")
        return datasets.load_dataset(name, args.dataset_config, split=split)
    except UserError:
        raise
    except Exception as error:
        # datasets raises a dozen types for unreadable files, unknown splits and an unreachable hub; each message is its own.
        raise UserError(f"dataset_name {name!r}, split {split!r}: {_one_line(error)}") from error


def _one_line(error: Exception) -> str:
    cause = error.__cause__ or error
    return f"{type(cause).__name__}: {' '.join(str(cause).split())[:300]}"


def _from_function(name: str, split: str) -> "Dataset":
    module_name, _, function = name.partition(":")
    try:
        made = getattr(importlib.import_module(module_name), function)()
    except (ImportError, AttributeError) as error:
        raise UserError(f"dataset_name: cannot import {name!r}: {error}") from error
    return _split_of(made, name, split)


def _split_of(splits: "dict[str, Dataset]", name: str, split: str) -> "Dataset":
    if split not in splits:
        raise UserError(f"{name}: there is no split {split!r}; there are: {', '.join(splits)}")
    return splits[split]
