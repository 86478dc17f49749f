"""Keys of other tools are answered with what to write here, all mistakes at once."""

import pytest
import yaml

from recipes.core.config import RunArguments, StageSpec, load_config, reward_entries
from recipes.core.config.keys import training_keys
from recipes.core.config.other_keys import ALIASES, FOREIGN_KEYS, REFUSED_KEYS, RENAMED_KEYS
from recipes.core.config.rewards import TRL_REWARDS, RewardArguments
from recipes.core.data.questions import DataArguments
from recipes.core.errors import UserError
from rewards import build_rewards

STAGE = StageSpec("grpo", (DataArguments, RewardArguments, RunArguments), "GRPOConfig")


@pytest.fixture
def write(tmp_path):
    def write_yaml(name="grpo.yaml", **values):
        path = tmp_path / name
        path.write_text(yaml.safe_dump(values))
        return str(path)

    return write_yaml


def test_all_mistakes_of_all_sources_are_told_at_once(write):
    write("base.yaml", num_processes=4, dataset_nam="x")
    path = write(extends="base.yaml", dataset_prompt_column="problem", torch_dtype="bfloat16")
    with pytest.raises(UserError) as error:
        load_config(STAGE, ["--config", path, "--lr", "1", "--deepspeed", "zero2.json"])
    message = str(error.value)
    assert "\n" not in message
    for part in (
        "base.yaml: unknown key `dataset_nam`; did you mean `dataset_name`?; ",
        "unknown key `num_processes`: write `--num-processes N` after ./launch.sh",
        "grpo.yaml: unknown key `dataset_prompt_column`: write `question_column`; ",
        "the key `torch_dtype` is no longer used: write `dtype`",
        "the command line: unknown key `lr`: write `learning_rate`; ",
        "the key `deepspeed` is not used here: write `--accelerate zero2`",
    ):
        assert part in message


@pytest.mark.parametrize("key", REFUSED_KEYS)
def test_a_key_that_chooses_the_launch_may_be_empty_and_is_else_refused(write, key):
    load_config(STAGE, ["--config", write(**{key: None})])
    with pytest.raises(UserError, match=f"the key `{key}` is not used here"):
        load_config(STAGE, ["--config", write(**{key: "x"})])


def test_no_key_of_another_tool_is_one_of_a_training_stage():
    keys = training_keys("GRPOConfig") | training_keys("SFTConfig")
    assert not (set(FOREIGN_KEYS) | set(ALIASES)) & keys
    assert not set(FOREIGN_KEYS) & (set(RENAMED_KEYS) | set(REFUSED_KEYS))


def entries(**values):
    words = [f"--{key}={value}" for key, value in values.items()]
    return reward_entries(load_config(STAGE, words))


@pytest.mark.parametrize("name", TRL_REWARDS)
def test_every_name_of_trls_own_script_is_a_reward(name):
    (function,), weights = build_rewards(entries(reward_funcs=name))
    assert weights == [1.0]
    rows = {"completion_ids": [list(range(1200))], "solution": ["$4$"], "answer": ["4"]}
    completion = [{"role": "assistant", "content": "<think>2+2</think>\\boxed{4}"}]
    (score,) = function([completion], prompts=["2+2"], **rows)
    # Longer than 1,280 - 256 tokens costs a part of the overlong penalty; all else is right.
    expected = -0.6875 if name == "get_soft_overlong_punishment" else 1.0
    assert score == expected


def test_the_overlong_punishment_is_that_of_trls_script():
    from trl.rewards import get_soft_overlong_punishment

    theirs = get_soft_overlong_punishment(max_completion_len=1280, soft_punish_cache=256)
    (ours,), _ = build_rewards(entries(reward_funcs="get_soft_overlong_punishment"))
    lengths = (0, 1024, 1025, 1152, 1280, 1281)
    ids = [[0] * length for length in lengths]
    assert ours(["x"] * 6, completion_ids=ids) == theirs(completion_ids=ids)


def test_trls_reward_model_comes_before_its_functions_and_has_a_weight_of_its_own(write):
    path = write(
        reward_model_name_or_path="owner/model",
        reward_funcs=["think_format_reward"],
        reward_weights=[0.5, 2.0],
    )
    assert reward_entries(load_config(STAGE, ["--config", path])) == [
        {"name": "model", "model_name_or_path": "owner/model", "weight": 0.5},
        {"name": "trl.rewards:think_format_reward", "weight": 2.0},
    ]
    with pytest.raises(UserError, match="1 reward_weights for 2 rewards"):
        reward_entries(load_config(STAGE, ["--config", path, "--reward_weights", "1"]))
    (alone,) = entries(reward_model_name_or_path="gpt2")
    assert build_rewards([alone])[1] == [1.0]
