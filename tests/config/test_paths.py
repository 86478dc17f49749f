"""Paths in YAMLs, wherever a command is started."""

import pytest

from recipes.core.config import RunArguments, read_config
from recipes.core.config.yaml_files import read_yaml
from recipes.core.paths import find_path, find_paths, launcher, path_from_here
from tests.support.commands import ROOT

BASE = "recipes/arithmetic/models/base"


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    folder = tmp_path / "a folder with spaces"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (BASE, f"{ROOT}/{BASE}"),
        ([f"base={BASE}", "policy"], [f"base={ROOT}/{BASE}", "policy"]),
        ({"dataset_name": "docs/data.md"}, {"dataset_name": f"{ROOT}/docs/data.md"}),
        ("docs", "docs"),  # a word that the repository happens to have a folder of
        ({"output_dir": "docs/results"}, {"output_dir": "docs/results"}),  # is written, not read
        ("Qwen/Qwen3-0.6B", "Qwen/Qwen3-0.6B"),  # a hub id
        (f"/{BASE}", f"/{BASE}"),  # nothing is there
        (r"####\s*(.+)/=", r"####\s*(.+)/="),
        ("x/" + "y" * 5000, "x/" + "y" * 5000),  # longer than a path can be
        (1.5, 1.5),
    ],
)
def test_what_the_repository_ships_is_found_from_any_folder(elsewhere, value, found):
    assert find_paths(value) == found


def test_the_current_folder_comes_before_the_repository(elsewhere):
    (elsewhere / BASE).mkdir(parents=True)
    assert find_paths(BASE) == BASE
    assert find_path("README.md") == ROOT / "README.md"


def test_in_the_repository_every_path_stays_as_it_is_written(monkeypatch):
    monkeypatch.chdir(ROOT)
    assert find_paths([f"base={BASE}", "docs/data.md"]) == [f"base={BASE}", "docs/data.md"]
    assert path_from_here(ROOT / "recipes/grpo.py") == "recipes/grpo.py"
    assert launcher() == ["./launch.sh"]
    monkeypatch.chdir(ROOT / "recipes")
    assert launcher() == [f"{ROOT}/launch.sh"]


def test_a_recipe_is_found_and_its_run_is_in_the_current_folder(elsewhere):
    config = read_config("grpo", ["--config", "recipes/arithmetic/grpo.yaml"])
    assert config.source == f"{ROOT}/recipes/arithmetic/grpo.yaml"
    assert config.run_dir.absolute() == elsewhere / "outputs/arithmetic"
    config = read_config("grpo", ["--config", config.source, "--output_dir", "docs/results"])
    assert config.parse(RunArguments).output_dir == "docs/results"


def test_a_recipe_that_was_copied_out_of_the_repository_extends_the_defaults(elsewhere):
    file = elsewhere / "mine/sft.yaml"
    file.parent.mkdir()
    file.write_text("extends: ../defaults/sft.yaml\nseed: 7\n")
    values = read_yaml(file)
    assert values["seed"] == 7 and len(values) > 10
