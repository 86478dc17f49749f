"""YAML is read as people mean it: 1e-6 is a number, `no` a word, and no key stands twice."""

import dataclasses
import os

import pytest
from transformers.trainer_utils import SaveStrategy

from recipes.core.config import StageSpec, load_config
from recipes.core.config.yaml_files import parse_list
from recipes.core.errors import UserError


@dataclasses.dataclass
class Numbers:
    learning_rate: float = 0.0
    max_steps: int = 0
    seed: int | None = None
    reward_weights: list[float] | None = None
    lr_scheduler_kwargs: dict | str | None = None
    rewards: list | str | None = None


def read(tmp_path, text, cls, *arguments):
    """The instance of `cls` that the YAML `text` and the command line make."""
    path = tmp_path / "recipe.yaml"
    path.write_text(text)
    return load_config(StageSpec("grpo", (cls,)), ["--config", str(path), *arguments]).parse(cls)


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [
        ("learning_rate: 1e-06", "learning_rate", 1e-6),  # text, to PyYAML
        ("learning_rate: 1E6", "learning_rate", 1e6),
        ("learning_rate: 1.e-6", "learning_rate", 1e-6),
        ("learning_rate: -.5e1", "learning_rate", -5.0),
        ("learning_rate: 2.5e+3", "learning_rate", 2500.0),
        ("max_steps: 1e3", "max_steps", 1000),  # of whole steps
        ("max_steps: 1.5e3", "max_steps", 1500),
        ("seed: 1e3", "seed", 1000),  # a number or nothing
        ("reward_weights: [1e-1, 1]", "reward_weights", [0.1, 1]),  # in a list
        ("lr_scheduler_kwargs: {min_lr: 1e-7}", "lr_scheduler_kwargs", {"min_lr": 1e-7}),
        ("rewards: [{name: a, weight: 2e-1}]", "rewards", [{"name": "a", "weight": 0.2}]),
    ],
)
def test_scientific_notation_is_a_number_wherever_it_stands(tmp_path, text, key, value):
    read_value = getattr(read(tmp_path, text, Numbers), key)
    assert read_value == value and isinstance(read_value, type(value))


def test_scientific_notation_is_a_number_on_the_command_line(tmp_path):
    words = ("--max_steps", "1e3", "--learning_rate", "1e-6", "--reward_weights", "1e-1", "1")
    numbers = read(tmp_path, "{}", Numbers, *words)
    assert numbers == Numbers(max_steps=1000, learning_rate=1e-6, reward_weights=[0.1, 1.0])
    entries = parse_list("rewards", "[{name: a, weight: 1e-1}]", "the command line")
    assert entries == [{"name": "a", "weight": 0.1}]


@dataclasses.dataclass
class Texts:
    save_strategy: SaveStrategy | str = "steps"
    trace_language: str | None = None
    model_revision: str = "main"
    models: list[str] | None = None
    use_peft: bool = False


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [
        ("save_strategy: no", "save_strategy", "no"),  # one of a few words
        ("save_strategy: 'no'", "save_strategy", "no"),
        ("trace_language: no", "trace_language", "no"),  # Norwegian
        ("trace_language: NO", "trace_language", "NO"),
        ("trace_language: off", "trace_language", "off"),
        ("trace_language: null", "trace_language", None),
        ("trace_language: ~", "trace_language", None),
        ("model_revision: 12e4567", "model_revision", "12e4567"),  # a commit, not infinity
        ("model_revision: 0123456", "model_revision", "0123456"),  # no octal number
        ("model_revision: 2024-05-01", "model_revision", "2024-05-01"),  # no date
        ("model_revision: 1.10", "model_revision", "1.10"),
        ("models: [policy, no, 1e3]", "models", ["policy", "no", "1e3"]),
        ("use_peft: no", "use_peft", False),  # true or false are meant
        ("use_peft: on", "use_peft", True),
    ],
)
def test_what_is_written_is_the_text_where_text_is_meant(tmp_path, text, key, value):
    assert getattr(read(tmp_path, text, Texts), key) == value


def test_the_values_of_env_are_what_is_written(tmp_path, monkeypatch):
    for name in ("A", "B", "C"):
        monkeypatch.setenv(f"RECIPE_TEST_{name}", "")
    env = "env: {RECIPE_TEST_A: off, RECIPE_TEST_B: 010, RECIPE_TEST_C: 1e3}"
    read(tmp_path, env, Texts)
    assert [os.environ[f"RECIPE_TEST_{name}"] for name in "ABC"] == ["off", "010", "1e3"]


@pytest.mark.parametrize(
    ("text", "key", "lines"),
    [
        ("seed: 1\nmax_steps: 2\nseed: 3\n", "seed", "1 and 3"),
        ("rewards:\n  - name: a\n    weight: 1\n    weight: 2\n", "weight", "3 and 4"),
        ("lr_scheduler_kwargs:\n  a: 1\n  a: 1\n", "a", "2 and 3"),  # equal values, too
    ],
)
def test_a_key_that_is_written_twice_is_refused_with_both_lines(tmp_path, text, key, lines):
    message = f"recipe.yaml: the key `{key}` is written twice, in lines {lines}; keep one"
    with pytest.raises(UserError, match=message):
        read(tmp_path, text, Numbers)


def test_anchors_and_merged_mappings_are_no_keys_written_twice(tmp_path):
    text = "rewards:\n  - &a {name: a, weight: 1}\n  - {<<: *a, weight: 2}\n"
    entries = read(tmp_path, text, Numbers).rewards
    assert entries == [{"name": "a", "weight": 1}, {"name": "a", "weight": 2}]
