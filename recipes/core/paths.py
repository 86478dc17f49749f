"""Folders of the repository, and its files as any current folder names them."""

import os
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
DEFAULTS = ROOT / "recipes" / "defaults"
CHAT_TEMPLATES = DEFAULTS / "chat_templates"


def find_path(name: str | Path) -> Path:
    """The path `name` in the current folder or, if only that exists, in the repository."""
    return Path(_find(str(name)))


def find_paths(value: Any) -> Any:
    """`value` of a YAML with its paths found by `find_path`; anything else stays as it is.

    Recipes name what they ship from the repository's folder: recipes/arithmetic/models/base. What
    they write, such as `output_dir`, is always in the current folder.
    """
    if isinstance(value, dict):
        found = {key: find_paths(entry) for key, entry in value.items()}
        written = {key: entry for key, entry in value.items() if str(key).endswith("_dir")}
        return found | written
    if isinstance(value, list):
        return [find_paths(entry) for entry in value]
    if not isinstance(value, str):
        return value
    # An entry of `models` has a name before its path: base=recipes/arithmetic/models/base.
    name, separator, path = value.rpartition("=")
    # A word alone, such as `policy`, is no path, even if the repository has a file of that name.
    if "/" not in path:
        return value
    return f"{name}{separator}{_find(path)}"


def _find(name: str) -> str:
    in_repository = os.path.join(ROOT, name)
    if not os.path.exists(name) and os.path.exists(in_repository):
        return in_repository
    return name  # as it is written: `./policy` stays a path, and `http://` an address


def path_from_here(path: Path) -> str:
    """A file of the repository as a command in the current folder names it: short if it can be."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def launcher() -> list[str]:
    """The beginning of the launcher's command line, as for a shell in the current folder."""
    script = ROOT / "launch.sh"
    # A package that pip has installed has no scripts beside it.
    if not script.is_file():
        return [sys.executable, "-m", "recipes.core.launch"]
    return [os.path.join(".", path_from_here(script))]
