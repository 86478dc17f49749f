"""Paths of models and keys of quantisation are checked before anything is loaded."""

import pytest

from recipes.core.errors import UserError
from recipes.core.preflight.model import check_model_path
from tests.support.commands import stage_here


def test_models_that_are_none_are_refused_before_anything_is_loaded(tmp_path):
    assert check_model_path("m", "Qwen/Qwen3-0.6B-Base") == "Qwen/Qwen3-0.6B-Base"
    (tmp_path / "notes.txt").touch()
    for name, message in (
        (None, "m is not set"),
        (str(tmp_path / "x"), "there is no folder"),
        (str(tmp_path), "has no model.*notes.txt"),
    ):
        with pytest.raises(UserError, match=message):
            check_model_path("m", name)


@pytest.mark.parametrize("name", ["generate", "evaluate"])
def test_keys_of_a_training_are_refused_where_nothing_is_trained(name):
    with pytest.raises(UserError, match="load_in_4bit: is for stages that train"):
        stage_here(name, f"recipes/arithmetic/{name}.yaml", "--load_in_4bit")
