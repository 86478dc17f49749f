"""From the `rewards:` entries of a recipe to reward functions: names, parameters and mistakes."""

import pickle
import re

import pytest

from rewards import REWARDS, RewardError, build_rewards, get_reward, score_completions
from rewards.correctness.exact import Exact
from rewards.trl_adapter import call_reward_function
from tests.support.commands import answered
from tests.support.user_rewards import repeats_gold

USER_REWARDS = "tests.support.user_rewards"

REQUIRED_PARAMETERS = {
    "overlong": {"max_tokens": 100, "cache_tokens": 20},
    "cosine": {"max_tokens": 100},
    "model": {"model_name_or_path": "some/model"},
    "judge": {"base_url": "http://localhost:8000/v1", "model": "some"},
}


def test_weights_and_names_come_from_the_entries():
    functions, weights = build_rewards([{"name": "accuracy"}, {"name": "format", "weight": 0.2}])
    assert weights == [1.0, 0.2]
    assert [function.__name__ for function in functions] == ["accuracy", "format"]


def test_built_rewards_can_be_pickled():
    entries = [{"name": name, **REQUIRED_PARAMETERS.get(name, {})} for name in REWARDS]
    functions, _ = build_rewards(entries)
    for function in functions:
        assert pickle.loads(pickle.dumps(function)) == function


def test_a_dotted_path_names_a_users_reward_in_any_form_and_passes_its_parameters():
    entries = [
        {"name": f"{USER_REWARDS}:longer", "weight": 0.1, "bonus": 2},
        f"{USER_REWARDS}:slow",
        {"name": f"{USER_REWARDS}:Ends", "text": "answer>"},
        {"name": f"{USER_REWARDS}:repeats_gold", "times": 0},
        {"name": f"{USER_REWARDS}.Ends", "text": "x"},  # with a dot, as TRL writes it
    ]
    functions, weights = build_rewards(entries, prefix="<think>")
    assert weights == [0.1, 1.0, 1.0, 1.0, 1.0]
    assert [function.__name__ for function in functions] == [
        "longer",
        "slow",
        "Ends",
        "repeats_gold",
        "Ends",
    ]

    metrics = {}
    columns = {
        "completions": [[{"role": "assistant", "content": "<answer>"}]] * 2,
        "answer": ["1", "1"],
        "log_metric": metrics.__setitem__,
    }
    assert [call_reward_function(function, **columns) for function in functions] == [
        [10, 10],
        [None, 0.5],
        [1.0, 1.0],
        [1.0, 1.0],
        [0.0, 0.0],
    ]
    assert metrics["rewards/slow/none"] == 0.5
    assert metrics["slow/calls"] == 1
    assert metrics["rewards/longer/seconds"] >= 0
    for function in functions:
        assert pickle.loads(pickle.dumps(function)) == function


def test_a_parameter_names_the_reward_that_decides_whether_an_answer_is_right():
    def score_of(correctness_reward, answer, gold):
        entry = {"name": "cosine", "max_tokens": 10, "correctness_reward": correctness_reward}
        (function,), _ = build_rewards([entry])
        assert pickle.loads(pickle.dumps(function)) == function
        columns = {"completions": [answered(answer)], "answer": [gold], "completion_ids": [[]]}
        return function(**columns)

    assert score_of("accuracy", "0.5", "1/2") == [1.0]
    assert score_of("exact", "0.5", "1/2") == [-1.0]
    assert score_of(f"{USER_REWARDS}:repeats_gold", "7", "7") == [1.0]  # by dotted path
    assert score_of(f"{USER_REWARDS}:repeats_gold", "8", "7") == [-1.0]


def test_a_users_class_may_build_on_another_reward():
    entry = {"name": f"{USER_REWARDS}:HalfIfWrong", "correctness_reward": "exact"}
    (function,), _ = build_rewards([entry])
    assert function.reward.correctness_reward == Exact()
    texts = [answered("7"), answered("8")]
    assert function(completions=texts, answer=["7", "7"]) == [1.0, 0.5]


def test_get_reward_gives_a_function_of_one_completion_also_for_a_dotted_path():
    assert get_reward({"name": "exact", "ignore_case": True}) == Exact(ignore_case=True)
    assert get_reward(f"{USER_REWARDS}:repeats_gold") is repeats_gold
    twice = get_reward({"name": f"{USER_REWARDS}:repeats_gold", "times": 2})
    assert twice(completion="7 7", answer="7") == 1.0


def test_get_reward_calls_a_reward_in_trls_form_as_a_trainer_would():
    longer = get_reward({"name": f"{USER_REWARDS}:longer", "bonus": 1})
    near = get_reward(f"{USER_REWARDS}:near")
    slow = get_reward(f"{USER_REWARDS}:slow")  # async
    texts = [answered("7"), answered("9")]
    chats = [{"prompt": [{"role": "user", "content": "3+4"}], "answer": "7"}] * 2
    assert score_completions(longer, "correct", texts, chats).scores == [len(texts[0]) + 1] * 2
    assert score_completions(near, "correct", texts, chats).scores == [1.0, 0.5]
    assert score_completions(slow, "correct", texts, chats).scores == [None, 0.5]
    assert pickle.loads(pickle.dumps(near)) == near
    # A prompt that is a text has a text as its completion.
    columns = {"completion": "of the dataset", "completions": "too", "function": "f(x)"}
    row = {"prompt": "3+4", **columns}
    lengths = get_reward(f"{USER_REWARDS}:lengths_of_texts")
    assert score_completions(lengths, "correct", ["12345"], [row]).scores == [5.0]


@pytest.mark.parametrize("name", ["broken", "slow_and_broken", "nan", "short", "words"])
def test_a_broken_reward_in_trls_form_is_named_once_and_scores_nothing(name):
    reward = get_reward(f"{USER_REWARDS}:{name}")
    with pytest.raises(RewardError) as raised:
        score_completions(reward, "correct", ["a", "b"], [{"prompt": "p"}] * 2)
    assert str(raised.value).count("reward ") == 1 and name in str(raised.value)


def test_what_is_right_has_no_weight():
    with pytest.raises(RewardError, match="'exact' cannot have a weight"):
        get_reward({"name": "exact", "weight": 0.5})
    assert get_reward({"name": "exact", "weight": 1.0}) == Exact()  # as copied from `rewards`


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"name": "acuracy"}, "did you mean 'accuracy'?"),  # misspelt
        (
            {"name": "accuracy", "wieght": 1},
            "no parameter 'wieght'; allowed are: weight, timeout_seconds, memory_mb",
        ),
        ({"name": "accuracy", "weight": "much"}, "write a number"),
        ({"weight": 1.0}, "has no name"),
        (1.0, "has no name"),
        ("overlong", "missing 2 required positional arguments"),
        (
            {"name": "overlong", "max_tokens": 10, "cache_tokens": 20},
            "must be from 1 to max_tokens 10",
        ),
        ({"name": "no_such_package.rewards:f"}, "cannot import"),
        ({"name": "trl.rewards:no_such"}, "cannot import"),
        (f"{USER_REWARDS}:Ends", "missing 1 required positional argument: 'text'"),
        ({"name": "language", "language": "xx"}, "write one of ar, el, en"),
        (
            {"name": "model", "model_name_or_path": "no/such/folder"},
            "there is no folder 'no/such/folder'",
        ),
        ({"name": "code", "timeout_seconds": 0}, "must be above 0"),
        (
            {"name": "judge", "base_url": "http://localhost/v1", "model": "m", "prompt": "?"},
            "prompt has no {completion}",
        ),
        (
            {"name": "length_group", "verdict": "exact"},
            "no parameter 'verdict' any more; write correctness_reward: exact",  # its old name
        ),
        ({"name": "length_group", "correctness_reward": "exat"}, "did you mean 'exact'?"),
        (
            {"name": "length_group", "correctness_reward": 1},
            "correctness_reward is 1; write the name of a reward",
        ),
        ({"name": f"{USER_REWARDS}:os"}, "write a function or a class"),  # a module
        ({"name": ":near"}, "cannot import ':near': ValueError: Empty module name"),
    ],
)
def test_an_unusable_entry_is_refused_with_what_is_allowed(entry, message):
    with pytest.raises(RewardError, match=re.escape(message)):
        build_rewards([entry])
