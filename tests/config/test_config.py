"""Command line over YAML over defaults; every key known or refused."""

import dataclasses

import pytest
import yaml

from recipes.core.config import RunArguments, StageSpec, load_config
from recipes.core.config.keys import training_keys
from recipes.core.config.other_keys import RENAMED_KEYS
from recipes.core.data.questions import DataArguments
from recipes.core.errors import UserError
from tests.support.commands import ROOT, run, stage

ARITHMETIC = "recipes/arithmetic/grpo.yaml"


@pytest.fixture
def write(tmp_path):
    def write_yaml(name="grpo.yaml", **values):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(yaml.safe_dump(values))
        return str(path)

    return write_yaml


def parse(path, *arguments, cls=DataArguments):
    stage_spec = StageSpec("grpo", (DataArguments, RunArguments))
    return load_config(stage_spec, ["--config", path, *arguments]).parse(cls)


def test_the_command_line_beats_the_yaml_and_the_yaml_beats_what_it_extends(write):
    write("base.yaml", seed=1, dataset_name="a", max_train_samples=1)
    path = write(extends="base.yaml", dataset_name="b", max_train_samples=2)
    assert parse(path, cls=RunArguments).seed == 1
    assert parse(path).dataset_name == "b"
    assert parse(path, "--max_train_samples", "3").max_train_samples == 3
    assert parse(path, "--max-train-samples=3").max_train_samples == 3


def test_of_several_extended_files_the_later_one_wins(write):
    write("base.yaml", seed=1, dataset_name="a", max_train_samples=1)
    write("data.yaml", dataset_name="b", max_train_samples=2)
    path = write(extends=["base.yaml", "data.yaml"], max_train_samples=3)
    assert parse(path, cls=RunArguments).seed == 1
    assert parse(path).dataset_name == "b"
    assert parse(path).max_train_samples == 3


def test_extending_is_one_level(write):
    write("a.yaml", seed=1)
    write("b.yaml", extends="a.yaml")
    with pytest.raises(UserError, match="may not extend another file"):
        parse(write(extends="b.yaml"))


@dataclasses.dataclass
class Length:
    max_steps: int = -1
    num_train_epochs: float = 3.0
    warmup_steps: float = 0
    rewards: list | str | None = None
    reward_funcs: list[str] | None = None


@pytest.mark.parametrize(
    ("own", "arguments", "expected"),
    [
        ({}, (), (200, 3.0)),
        ({"num_train_epochs": 1}, (), (-1, 1.0)),  # the default gives way to the recipe
        ({"num_train_epochs": None}, (), (200, None)),
        ({"num_train_epochs": 1, "max_steps": 5}, (), (5, 1.0)),  # both: as in transformers
        ({"max_steps": 5}, ("--num_train_epochs", "2"), (-1, 2.0)),
        ({"num_train_epochs": 2}, ("--max_steps", "5"), (5, 2.0)),
        ({}, ("--num_train_epochs=2", "--max_steps=5"), (5, 2.0)),
    ],
)
def test_the_more_specific_of_steps_and_epochs_decides(write, own, arguments, expected):
    write("base.yaml", max_steps=200)
    path = write(extends="base.yaml", **own)
    config = load_config(StageSpec("grpo", (Length,)), ["--config", path, *arguments])
    length = config.parse(Length)
    assert (length.max_steps, length.num_train_epochs) == expected
    assert config.is_set("max_steps") == (expected[0] != -1)


def test_the_rewards_of_a_recipe_replace_those_it_inherits_in_the_other_form(write):
    write("base.yaml", rewards=[{"name": "accuracy"}])
    path = write(extends="base.yaml", reward_funcs=["think_format_reward"])
    length = parse_as(path, Length)
    assert (length.rewards, length.reward_funcs) == (None, ["think_format_reward"])


@pytest.mark.parametrize(
    ("own", "arguments", "steps"),
    [
        ({"warmup_ratio": 0.1}, (), 0.1),
        ({}, ("--warmup_ratio", "0.2"), 0.2),
        ({"warmup_ratio": 0.1}, ("--warmup_steps", "3"), 3),
        ({"warmup_ratio": 0.1, "warmup_steps": 4}, (), 4),
    ],
)
def test_a_warmup_ratio_is_the_fraction_that_warmup_steps_may_be(write, own, arguments, steps):
    write("base.yaml", warmup_steps=10)
    assert parse_as(write(extends="base.yaml", **own), Length, *arguments).warmup_steps == steps


def test_a_warmup_ratio_of_more_than_all_steps_is_refused(write):
    with pytest.raises(UserError, match="`warmup_ratio` is 10: a fraction of the steps"):
        parse_as(write(warmup_ratio=10), Length)


def parse_as(path, cls, *arguments):
    return load_config(StageSpec("grpo", (cls,)), ["--config", path, *arguments]).parse(cls)


def test_a_value_of_the_wrong_type_is_told_with_the_file_that_holds_it(write):
    write("base.yaml", seed="many")
    with pytest.raises(UserError, match=r"base\.yaml: argument --seed: invalid int value: 'many'"):
        parse(write(extends="base.yaml"), cls=RunArguments)
    with pytest.raises(UserError, match="the command line: argument --seed"):
        parse(write(extends="base.yaml"), "--seed", "2.5", cls=RunArguments)


@pytest.mark.parametrize(
    ("values", "arguments", "message"),
    [
        (
            {"dataset_nam": "x"},
            [],
            r"grpo.yaml: unknown key `dataset_nam`; did you mean `dataset_name`\?",
        ),
        (
            {},
            ["--dataset_nam", "x"],
            r"the command line: unknown key `dataset_nam`; did you mean `dataset_name`\?",
        ),
        ({"torch_dtype": "float32"}, [], "`torch_dtype` is no longer used: write `dtype`"),
        ({"verdict": "exact"}, [], "`verdict` is no longer used: write `correctness_reward`"),
        ({"on_policy": {"beta": 1}}, [], "on-policy distillation is a stage"),
        ({"overwrite_output_dir": True}, [], "resume_from_checkpoint: false"),
        ({"seed": "many"}, [], "argument --seed: invalid int value: 'many'"),
        ({"seed": 2.5}, [], "argument --seed: invalid int value: '2.5'"),
        ({"extends": "nowhere.yaml"}, [], "nowhere.yaml: cannot be read"),
        ({}, ["stray", "--seed", "1"], "'stray' does not follow a key"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_one_line(write, values, arguments, message):
    with pytest.raises(UserError, match=message) as error:
        parse(write(**values), *arguments, cls=RunArguments)
    assert "\n" not in str(error.value)


def test_yaml_that_is_none_is_refused_in_one_line(tmp_path):
    for text, message in (
        ("a: [", "not valid YAML"),
        ("- a\n- b\n", "must hold `key: value` lines"),
    ):
        (tmp_path / "x.yaml").write_text(text)
        with pytest.raises(UserError, match=message):
            parse(str(tmp_path / "x.yaml"))


def test_the_names_read_from_trls_source_are_the_fields_of_its_classes():
    from trl import DistillationConfig, GRPOConfig, SFTConfig

    for cls in (DistillationConfig, GRPOConfig, SFTConfig):
        names = training_keys(cls.__name__)
        assert {f.name for f in dataclasses.fields(cls)} <= names
        assert not names & set(RENAMED_KEYS) - {
            "vllm_importance_sampling_cap",
            "use_transformers_paged",
        }


def test_a_secret_never_reaches_the_resolved_configuration():
    @dataclasses.dataclass
    class Hub:
        hub_token: str | None = None
        hub_model_id: str | None = None

    words = ["--hub_token", "hf_secret", "--hub_model_id", "me/model"]
    config = load_config(StageSpec("grpo", (Hub,)), words)
    assert config.resolve(Hub) == {"hub_model_id": "me/model"}


def test_print_config_prints_the_resolved_yaml_and_stops(tmp_path):
    done = stage(
        "grpo",
        ARITHMETIC,
        "--learning_rate",
        "5e-4",
        "--print-config",
        "--output_dir",
        tmp_path / "out",
    )
    assert done.returncode == 0, done.stderr
    resolved = yaml.safe_load(done.stdout)
    assert resolved["learning_rate"] == 5e-4
    assert resolved["num_generations"] == 16
    assert resolved["lora_target_modules"] == "all-linear"
    assert resolved["rewards"][0]["name"] == "accuracy"
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["grpo", "generate", "sft", "on_policy", "evaluate"])
def test_help_shows_every_default_with_its_comment_at_once(name):
    done = run("python", f"recipes/{name}.py", "--help")
    assert done.returncode == 0, done.stderr
    assert (ROOT / f"recipes/defaults/{name}.yaml").read_text() in done.stdout
