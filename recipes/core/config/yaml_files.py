"""Reads recipe YAMLs, the files they extend, and lists given on the command line."""

from pathlib import Path
from typing import Any

import yaml

from recipes.core.errors import UserError, one_line


def recipe_name(config: str | Path) -> str:
    """The recipe that a YAML belongs to: the name of its folder."""
    return Path(config).absolute().parent.name


def read_yaml(path: Path) -> dict[str, Any]:
    """The keys of a recipe's YAML over those of the files it extends.

    `extends` is a path or a list of paths, relative to the YAML; a later file wins over an earlier
    one, and an extended file may not extend another. Mappings are merged key by key.
    """
    values = _read_mapping(path)
    extended = values.pop("extends", None) or []
    # The extended files in their order, each over those before it.
    merged: dict[str, Any] = {}
    for name in [extended] if isinstance(extended, str) else extended:
        base_path = path.parent / name
        base = _read_mapping(base_path)
        if "extends" in base:
            raise UserError(
                f"{base_path}: is extended by {path} and may not extend another file; "
                "only one level is allowed"
            )
        merged = _merge(merged, base)
    # The recipe's own keys win.
    return _merge(merged, values)


def parse_list(key: str, value: Any, source: str) -> list[Any]:
    """The entries of a key that holds a list, which is YAML text on the command line.

    Raises `UserError` if it is not a list.
    """
    # On the command line a list is written as YAML.
    try:
        entries = yaml.safe_load(value) if isinstance(value, str) else value
    except yaml.YAMLError as error:
        raise UserError(f"{source}: `{key}` is not valid YAML: {one_line(error)}") from error
    if entries is not None and not isinstance(entries, list):
        raise UserError(f"{source}: `{key}` must be a list, got {entries!r}")
    return entries or []


def _merge(base: dict[str, Any], values: dict[str, Any]) -> dict[str, Any]:
    """`values` over `base`; where both hold a mapping, its keys are merged too."""
    merged = base | values
    for key, value in values.items():
        if isinstance(value, dict) and isinstance(base.get(key), dict):
            merged[key] = base[key] | value
    return merged


def _read_mapping(path: Path) -> dict[str, Any]:
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: is not valid YAML: {one_line(error)}") from error
    # An empty file is None, and a file of text is a string.
    if not isinstance(values, dict):
        raise UserError(f"{path}: must hold `key: value` lines, got {type(values).__name__}")
    return values
