"""Every recipe and every YAML: complete, understood by its stage, without repetition."""

import dataclasses
import importlib
import re
import sys

import pytest
import yaml

from recipes.core.config import load_config
from recipes.core.config.yaml_files import read_yaml
from recipes.tools import check
from tests.support.commands import ROOT

STAGES = ("grpo", "generate", "sft", "on_policy", "evaluate")
RECIPES = sorted(path.parent for path in ROOT.glob("recipes/*/README.md"))
DEFAULTS = ROOT / "recipes/defaults"
STAGE_YAMLS = sorted(path for path in ROOT.glob("recipes/*/*.yaml") if path.name != "data.yaml")


# Keys of a shared dataclass that this stage does not read.
NOT_READ = {("evaluate", "max_train_samples")}


def label(path):
    return f"{path.parent.name}/{path.name}"


def stage_spec(name):
    return importlib.import_module(f"recipes.{name}").STAGE


def test_every_recipe_has_the_same_files():
    assert [path.name for path in RECIPES] == ["arithmetic", "gsm8k"]
    assert len(STAGE_YAMLS) == len(STAGES) * (len(RECIPES) + 1)  # and the defaults
    for recipe in RECIPES:
        names = {path.stem for path in recipe.glob("*.yaml")}
        assert names == {*STAGES, "data"}


@pytest.mark.parametrize("path", STAGE_YAMLS, ids=label)
def test_every_yaml_is_understood_by_its_stage(path, monkeypatch):
    monkeypatch.chdir(ROOT)
    stage = stage_spec(path.stem)
    config = load_config(stage, ["--config", str(path)])
    for cls in stage.arguments:
        config.parse(cls)
    if stage.trl_config:
        config.parse_training()


@pytest.mark.parametrize("path", STAGE_YAMLS, ids=label)
def test_no_recipe_repeats_a_value_that_it_inherits(path):
    values = yaml.safe_load(path.read_text())
    extended = values.get("extends", [])
    for name in [extended] if isinstance(extended, str) else extended:
        inherited = yaml.safe_load((path.parent / name).read_text())
        repeated = [key for key in values if key in inherited and inherited[key] == values[key]]
        assert repeated == []


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.name)
def test_the_data_of_a_recipe_is_described_in_one_file(recipe):
    described = set(read_yaml(recipe / "data.yaml"))
    for name in STAGES:
        own = yaml.safe_load((recipe / f"{name}.yaml").read_text())
        assert not described & own.keys()


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.name)
def test_the_ideal_completion_earns_all_positive_weights_and_no_cheat_does(
    recipe, monkeypatch, capsys
):
    monkeypatch.setattr(sys, "argv", ["check", "--config", str(recipe / "grpo.yaml")])
    check.main()  # raises SystemExit where a completion that cheats is paid
    _, ideal, *cases, summary = capsys.readouterr().out.splitlines()
    entries = read_yaml(recipe / "grpo.yaml")["rewards"]
    positive = sum(max(0.0, entry["weight"]) for entry in entries)
    assert ideal.startswith("ideal ") and float(ideal.split()[-1]) == pytest.approx(positive)
    assert len(cases) > 30 and all(float(case.split()[-1]) < positive for case in cases)
    assert summary.endswith(", 0 with a problem")


@pytest.mark.parametrize("name", STAGES)
def test_every_key_of_ours_is_explained_in_the_defaults(name):
    text = (DEFAULTS / f"{name}.yaml").read_text()
    explained = set(re.findall(r"^(\w+):", text, re.MULTILINE))
    for cls in stage_spec(name).arguments:
        for field in dataclasses.fields(cls):
            owner = next(
                base for base in cls.__mro__ if field.name in vars(base).get("__annotations__", {})
            )
            is_ours = owner.__module__.startswith("recipes.")
            if is_ours and (name, field.name) not in NOT_READ:
                assert field.name in explained, f"{name}.yaml: {field.name}"


@pytest.mark.parametrize("name", STAGES)
def test_every_line_of_the_defaults_has_a_comment_or_a_plain_meaning(name):
    plain = {"seed", "save_steps", "logging_steps", "num_train_epochs", "warmup_steps"}
    plain |= {"learning_rate", "lr_scheduler_type", "max_steps", "rewards"}
    for line in (DEFAULTS / f"{name}.yaml").read_text().splitlines():
        key = re.match(r"(\w+):", line)
        if key and key[1] not in plain:
            assert "#" in line, f"{name}.yaml: {line}"
