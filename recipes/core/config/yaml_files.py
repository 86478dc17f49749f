"""Reads recipe YAMLs: one level of `extends`, and lists given on the command line."""

from pathlib import Path
from typing import Any

import yaml

from recipes.core.errors import UserError


def recipe_name(config: str | Path) -> str:
    """The recipe that a YAML belongs to: the name of its folder."""
    return Path(config).absolute().parent.name


def parse_list(key: str, value: Any, source: str) -> list[Any]:
    """The entries of a key that holds a list; on the command line it is YAML text. Raises `UserError` if it is no list."""
    try:
        entries = yaml.safe_load(value) if isinstance(value, str) else value
    except yaml.YAMLError as error:
        raise UserError(
            f"{source}: `{key}` is not valid YAML: {' '.join(str(error).split())}"
        ) from error
    if entries is not None and not isinstance(entries, list):
        raise UserError(f"{source}: `{key}` must be a list, is {entries!r}")
    return entries or []


def read_yaml(path: Path) -> dict[str, Any]:
    """The keys of a recipe's YAML over those of the file that it extends, and so within a mapping that both have. Paths in
    `extends` start at the file."""
    values = _read_mapping(path)
    base = values.pop("extends", None)
    if base is None:
        return values
    base_path = path.parent / base
    base_values = _read_mapping(base_path)
    if "extends" in base_values:
        raise UserError(
            f"{base_path}: is extended by {path} and may not extend another file; one level is allowed"
        )
    both = {
        key
        for key, value in values.items()
        if isinstance(value, dict) and isinstance(base_values.get(key), dict)
    }
    return base_values | values | {key: base_values[key] | values[key] for key in both}


def _read_mapping(path: Path) -> dict[str, Any]:
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: is not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(values, dict):
        raise UserError(f"{path}: must hold `key: value` lines, holds {type(values).__name__}")
    return values
