"""Rewards as TRL calls them: the forms of a completion, the checks, and the metrics."""

import pytest

from rewards import RewardError, RewardFunction, build_rewards
from rewards.interface import BatchReward, ScoredBatch
from rewards.trl_adapter import call_reward_function

USER_REWARDS = "tests.support.user_rewards"
IDEAL = "<think>23*7=161</think><answer>161</answer>"


def test_reward_functions_accept_messages_and_strings():
    functions, _ = build_rewards(["accuracy", "format"])
    messages = [[{"role": "assistant", "content": text}] for text in (IDEAL, "161")]
    for completions in (messages, [IDEAL, "161"]):
        columns = {"prompts": ["?", "?"], "answer": ["161", "161"], "trainer_state": object()}
        for function in functions:
            assert function(completions=completions, **columns) == [1.0, 0.0]


def test_a_think_tag_that_the_chat_template_wrote_is_put_back():
    (function,), _ = build_rewards(["format"], prefix="<think>")
    assert function(completions=[IDEAL.removeprefix("<think>"), IDEAL]) == [1.0, 0.0]


class Slow(BatchReward):
    """Two of four completions without a score: one because the scorer failed."""

    def score_batch(self, completions, rows):
        return ScoredBatch([1.0, 0.0, None, None], timed_out=1, failed=1)


def test_each_call_logs_the_fractions_without_a_score_and_its_duration_under_the_rewards_name():
    metrics = {}
    RewardFunction(Slow(), "slow")(completions=["a"] * 4, log_metric=metrics.__setitem__)
    assert metrics.pop("rewards/slow/seconds") >= 0
    assert metrics == {
        "rewards/slow/none": 0.5,
        "rewards/slow/failed": 0.25,
        "rewards/slow/timed_out": 0.25,
        "rewards/slow/raised": 0.0,
    }


@pytest.mark.parametrize(
    ("name", "message"),
    [
        # TRL would treat it as None.
        ("nan", "'nan' returned nan on row 0; it must be a finite number or None"),
        ("short", r"'short' returned '\[1.0\]' for 2 completions"),
        ("words", "'words' returned '1.0' on row 0"),
        ("broken", r"'broken' raised ZeroDivisionError.* on a batch of 2 completions"),
        (
            "slow_and_broken",
            r"'slow_and_broken' raised ZeroDivisionError.* on a batch of 2 completions",
        ),
    ],
)
def test_the_scores_of_a_users_reward_are_checked(name, message):
    (function,), _ = build_rewards([f"{USER_REWARDS}:{name}"])
    with pytest.raises(RewardError, match=message):
        call_reward_function(function, completions=["a", "b"])


def test_a_reward_that_raises_or_returns_no_score_stops_the_run_and_names_the_row():
    def broken(completion, **row):
        return 1 / (completion != "b")

    def strange(completion, **row):
        return float("nan")

    with pytest.raises(RewardError, match=r"'broken' raised ZeroDivisionError.* on row 1: 'b'"):
        RewardFunction(broken, "broken")(completions=["a", "b"])
    with pytest.raises(RewardError, match="'strange' returned nan on row 0"):
        RewardFunction(strange, "strange")(completions=["a"])


@pytest.mark.parametrize(
    ("entry", "scores"),
    [
        ({"name": "repeats_gold", "times": 2}, [0.0, 1.0]),  # one completion
        ({"name": "longer", "bonus": 0.5}, [1.5, 2.5]),  # TRL's form
    ],
)
def test_a_parameter_of_the_recipe_wins_over_a_column_of_its_name(entry, scores):
    (function,), _ = build_rewards([entry | {"name": f"{USER_REWARDS}:{entry['name']}"}])
    texts = [[{"role": "assistant", "content": text}] for text in ("a", "aa")]
    columns = {"answer": ["a", "a"], "times": [1, 1], "bonus": [9.0, 9.0]}
    assert function(completions=texts, **columns) == scores
