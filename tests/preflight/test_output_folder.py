"""A folder that cannot be written to is refused before anything is loaded."""

import os

import pytest

from recipes.core.errors import UserError
from recipes.core.preflight.output_folder import check_output_folder


def test_a_folder_is_writable_or_can_be_made(tmp_path):
    check_output_folder(tmp_path)
    check_output_folder(tmp_path / "not/yet/there")


def test_a_file_is_no_folder_and_has_none_below_it(tmp_path):
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / "file/below"):
        with pytest.raises(UserError, match="file is a file; choose another `--output_dir`"):
            check_output_folder(folder)


def test_a_folder_of_somebody_else_is_refused(tmp_path, monkeypatch):
    # The tests may run as root, who may write everywhere.
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(UserError, match="cannot be written to"):
        check_output_folder(tmp_path / "new")
