"""Reads one split of a dataset from a hub id, a folder, a file, an address or a function."""

import importlib
import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from trl import ScriptArguments

from recipes.core.data.addresses import fetch, hub_dataset, is_address, without_secrets
from recipes.core.data.splits import take_split
from recipes.core.data.tables import TableReader
from recipes.core.data.text_files import data_suffix
from recipes.core.errors import UserError, one_line

if TYPE_CHECKING:
    from datasets import Dataset

logger = logging.getLogger(__name__)

TABLES = (".jsonl", ".json", ".csv", ".tsv")
FILE_KINDS = (".jsonl", ".json", ".csv", ".parquet", ".tsv")
Splits = Mapping[str, "Dataset"]


@dataclass
class SourceArguments(ScriptArguments):
    """Keys that tell how a file is read, besides TRL's `dataset_name`, `dataset_config` ..."""

    delimiter: str | None = None
    encoding: str | None = None


def source_name(args: SourceArguments) -> str:
    """What the data are called in logs and messages, without the keys of an address."""
    return without_secrets(args.dataset_name or "")


def load_split(args: SourceArguments, split: str, golds: Sequence[str] = ()) -> "Dataset":
    """The rows of one split of `dataset_name` as they are.

    Args:
        golds: columns or paths in which golds may be: there a file's values stay exact.

    Raises:
        UserError: the dataset or the split cannot be read.
    """
    import datasets

    assert args.dataset_name
    datasets.disable_progress_bars()  # one for each small file; the stages show their own
    reader = TableReader(golds, args.delimiter, args.encoding)
    try:
        return _Source(reader, args.dataset_config).load(args.dataset_name, split)
    except UserError:
        raise
    except Exception as error:
        # datasets raises a dozen types for unreadable files, unknown splits and an unreachable
        # hub, each with a message of its own.
        name = source_name(args)
        raise UserError(f"dataset_name {name!r}, split {split!r}: {_describe(error)}") from error


@dataclass(frozen=True)
class _Source:
    """How a dataset is read, wherever it is."""

    reader: TableReader
    config: str | None

    def load(self, name: str, split: str) -> "Dataset":
        """The rows of a split of whatever `name` names."""
        from datasets import load_dataset

        path = Path(name).expanduser()
        # A path may contain a colon, too: whatever exists is a path.
        if path.is_file():
            return take_split({"train": self._read_file(path)}, name, split)
        if path.is_dir():
            return self._read_folder(path, split)
        if is_address(name):
            return self._read_address(name, split)
        if ":" in name:
            return take_split(_call_function(name), name, split)

        # Whatever looks like a path is not searched for on the hub.
        if data_suffix(name) in FILE_KINDS or name.startswith((".", "/", "~")):
            raise UserError(f"dataset_name: there is no file or folder {name!r}")
        return load_dataset(name, self.config, split=split)

    def _read_file(self, path: Path) -> "Dataset":
        from datasets import load_dataset

        suffix = data_suffix(path.name)
        if suffix in TABLES:
            return self.reader.read([path])
        if suffix != ".parquet":
            kinds = ", ".join(FILE_KINDS)
            raise UserError(f"{path}: is not one of {kinds}; all but .parquet may be packed (.gz)")
        return load_dataset("parquet", data_files={"train": str(path)}, split="train")

    def _read_address(self, address: str, split: str) -> "Dataset":
        """A file on the web or on the hub, or a whole dataset of the hub."""
        from datasets import load_dataset

        # A dataset of the hub, by its address instead of its id.
        dataset_id, revision = hub_dataset(address)
        if dataset_id:
            return load_dataset(dataset_id, self.config, split=split, revision=revision)
        with fetch(address) as path:
            return take_split({"train": self._read_file(path)}, without_secrets(address), split)

    def _read_folder(self, path: Path, split: str) -> "Dataset":
        """A folder that `save_to_disk` wrote, or one of data files as on the hub."""
        from datasets import load_dataset, load_dataset_builder

        # `load_dataset` cannot read what `save_to_disk` wrote: that has a state file.
        if _is_saved(path):
            return take_split(_load_saved(path), str(path), split)
        config, path = _choose_config(path, self.config)
        if _is_saved(path):
            return take_split(_load_saved(path), str(path), split)

        # Tables are read here, so that golds stay as they are. Where the dataset declares the
        # types of its columns, `datasets` has nothing to guess.
        builder = load_dataset_builder(str(path), config)
        files = builder.config.data_files or {}
        tables = {str(name): [Path(file) for file in files[name]] for name in files}
        if builder.info.features or not _are_tables(tables):
            return load_dataset(str(path), config, split=split)
        named = [name for name in tables if split == "all" or name in re.split(r"[+\[]", split)]
        rows = {name: self.reader.read(tables[name]) for name in named}
        return take_split(rows or tables, str(path), split)


def _call_function(name: str) -> Splits:
    """`package.module:function` returns a mapping of splits to datasets, or one dataset."""
    from datasets import Dataset

    # Import it.
    module_name, _, function = name.partition(":")
    try:
        splits = getattr(importlib.import_module(module_name), function)()
    except (ImportError, AttributeError) as error:
        raise UserError(f"dataset_name: cannot import {name!r}: {error}") from error
    # One dataset is the training split, like a file.
    if isinstance(splits, Dataset):
        splits = {"train": splits}
    if not isinstance(splits, Mapping):
        kind = type(splits).__name__
        raise UserError(f"dataset_name {name!r}: returns a {kind}; return a dataset per split")
    return splits


def _is_saved(path: Path) -> bool:
    return (path / "dataset_dict.json").exists() or (path / "state.json").exists()


def _load_saved(path: Path) -> Splits:
    from datasets import Dataset, load_from_disk

    saved = load_from_disk(str(path))
    return {"train": saved} if isinstance(saved, Dataset) else saved


def _choose_config(path: Path, config: str | None) -> tuple[str | None, Path]:
    """The configuration of a folder, or none and the folder inside it that is one.

    A recipe for a dataset of the hub also reads a folder that has no configurations.
    """
    from datasets import get_dataset_config_names

    # A folder inside it, saved by `save_to_disk`: `datasets` would not find its files.
    if config is None:
        return None, path
    if (path / config).is_dir() and _is_saved(path / config):
        return None, path / config

    # One of the configurations in its README, or a folder of that name.
    names = get_dataset_config_names(str(path))
    if config in names:
        return config, path
    if (path / config).is_dir():
        return None, path / config
    if names != ["default"]:
        raise UserError(
            f"{path}: there is no dataset_config {config!r}; there are: {', '.join(names)}"
        )
    logger.info("%s: has no configurations; dataset_config %s is ignored", path, config)
    return None, path


def _are_tables(splits: Mapping[str, Sequence[Path]]) -> bool:
    """Whether all files are on this machine, and of a kind that is read here."""
    files = [file for paths in splits.values() for file in paths]
    return bool(files) and all(data_suffix(f.name) in TABLES and f.is_file() for f in files)


def _describe(error: Exception) -> str:
    """The type and the text of the error, or of the one behind it."""
    cause = error.__cause__ or error
    return f"{type(cause).__name__}: {one_line(cause, 300)}"
