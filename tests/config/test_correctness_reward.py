"""The reward that decides what is right: a name or an entry, in a YAML or on the command line."""

import pytest

from recipes.core.config import CorrectnessArguments, read_config
from recipes.core.errors import UserError
from rewards import get_reward
from rewards.correctness.exact import Exact
from tests.support.user_rewards import NumbersOnly

OWN = "tests.support.user_rewards:NumbersOnly"


@pytest.mark.parametrize(
    ("written", "reward"),
    [
        ("exact", Exact()),
        ("{name: exact, ignore_case: true}", Exact(ignore_case=True)),
        (f"{{name: '{OWN}', tolerance: 1.0e-3}}", NumbersOnly(0.001)),
        (f"{{name: '{OWN}', tolerance: 0.5, weight: 1.0}}", NumbersOnly(0.5)),  # from `rewards`
    ],
)
def test_a_yaml_and_the_command_line_name_the_same_reward(tmp_path, written, reward):
    file = tmp_path / "evaluate.yaml"
    file.write_text(f"correctness_reward: {written}\n")
    for argv in (["--config", str(file)], ["--correctness_reward", written]):
        args = read_config("evaluate", argv).parse(CorrectnessArguments)
        assert get_reward(args.correctness_reward) == reward


def test_an_entry_that_is_no_yaml_is_one_line():
    config = read_config("evaluate", ["--correctness_reward", "{name: exact"])
    with pytest.raises(UserError, match="the command line: correctness_reward is not valid YAML"):
        config.parse(CorrectnessArguments)
