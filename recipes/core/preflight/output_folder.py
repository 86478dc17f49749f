"""Checks that a run can write to its folder."""

import os
from pathlib import Path

from recipes.core.errors import UserError


def check_output_folder(folder: Path) -> None:
    """Raises `UserError` if the folder is a file, or can neither be written to nor be made."""
    # The nearest folder that there is; what lies below is made when it is needed.
    existing = folder.absolute()
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    problem = None
    if not existing.is_dir():
        problem = f"{existing} is a file"
    elif not os.access(existing, os.W_OK | os.X_OK):
        problem = f"{existing} cannot be written to"
    if problem:
        raise UserError(f"output_dir: {folder}: {problem}; choose another `--output_dir`")
