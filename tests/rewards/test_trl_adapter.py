"""What is paid, and what is not."""

import pickle
import re

import pytest

from rewards import REWARDS, RewardError, TRLReward, build_rewards
from rewards.audit import call
from rewards.completion import ParsedCompletion, parse_completion
from rewards.correctness.accuracy import Accuracy
from rewards.shaping.format import Format

IDEAL = "<think>23*7=161</think><answer>161</answer>"


def test_a_trace_is_taken_apart_into_stripped_texts():
    assert parse_completion(
        " <think>\n a\nb </think>\n\n<answer> 42 </answer>\n"
    ) == ParsedCompletion("a\nb", "42")


@pytest.mark.parametrize(
    "text",
    [
        "",  # empty
        "161",  # no tags
        "<think></think><answer>161</answer>",  # empty think block
        "<think> \n</think><answer>161</answer>",  # think block of white space
        "<think>a</think><answer></answer>",  # empty answer
        "<think>a</think><answer> </answer>",  # answer of white space
        "<think>a</think><answer>161</answer> Done.",  # text after the answer
        "Sure! <think>a</think><answer>161</answer>",  # text before the think block
        "<think>a</think> so <answer>161</answer>",  # text between the blocks
        "<think>a</think><think>b</think><answer>161</answer>",  # two think blocks
        "<think>a</think><answer>1</answer><answer>161</answer>",  # two answer blocks
        "<think>a<answer>161</answer></think>",  # answer inside the think block
        "<think>a<think>b</think></think><answer>161</answer>",  # nested think blocks
        "<answer>161</answer><think>a</think>",  # wrong order
        "<think>a</think><answer>161",  # truncated in the answer
        "<think>161",  # truncated while thinking
        "</think><think>a<answer>161</answer>",  # closed before it is opened
        "<THINK>a</THINK><answer>161</answer>",  # other case
        IDEAL * 2,  # doubled
        IDEAL + "<|im_end|>x",  # what a decoder leaves behind the end
    ],
)
def test_what_is_not_exactly_one_think_and_one_answer_block_earns_nothing(text):
    assert parse_completion(text) is None
    assert Format()(completion=text) == 0.0
    assert Accuracy()(completion=text, answer="161") == 0.0


def test_built_rewards_speak_trl_with_messages_and_with_strings():
    functions, weights = build_rewards([{"name": "accuracy"}, {"name": "format", "weight": 0.2}])
    assert weights == [1.0, 0.2]
    assert [function.__name__ for function in functions] == ["accuracy", "format"]
    messages = [[{"role": "assistant", "content": text}] for text in (IDEAL, "161")]
    for completions in (messages, [IDEAL, "161"]):
        columns = {"prompts": ["?", "?"], "answer": ["161", "161"], "trainer_state": object()}
        assert [function(completions=completions, **columns) for function in functions] == [
            [1.0, 0.0],
            [1.0, 0.0],
        ]


def test_a_think_tag_that_the_template_wrote_is_put_back():
    (function,), _ = build_rewards(["format"], prefix="<think>")
    assert function(completions=[IDEAL.removeprefix("<think>"), IDEAL]) == [1.0, 0.0]


def test_built_rewards_can_be_pickled():
    parameters = {
        "overlong": {"max_tokens": 100, "cache_tokens": 20},
        "cosine": {"max_tokens": 100},
        "model": {"model_name_or_path": "some/model"},
        "judge": {"base_url": "http://localhost:8000/v1", "model": "some"},
    }
    for function in build_rewards([{"name": name, **parameters.get(name, {})} for name in REWARDS])[
        0
    ]:
        assert pickle.loads(pickle.dumps(function)) == function


def test_a_dotted_path_names_a_users_reward_in_any_form_and_passes_its_parameters():
    own = "tests.support.user_rewards"
    functions, weights = build_rewards(
        [
            {"name": f"{own}:longer", "weight": 0.1, "bonus": 2},
            f"{own}:slow",
            {"name": f"{own}:Ends", "text": "answer>"},
        ],
        "<think>",
    )
    assert weights == [0.1, 1.0, 1.0]
    completions, metrics = [[{"role": "assistant", "content": "<answer>"}]] * 2, {}
    columns = {"completions": completions, "answer": ["1", "1"], "log_metric": metrics.__setitem__}
    assert [call(function, **columns) for function in functions] == [
        [10, 10],
        [None, 0.5],
        [1.0, 1.0],
    ]
    assert (
        metrics["rewards/slow/none"] == 0.5
        and metrics["slow/calls"] == 1
        and metrics["rewards/longer/seconds"] >= 0
    )
    assert [function.__name__ for function in functions] == [
        "longer",
        "slow",
        "Ends",
    ]  # TRL names its metrics by it
    for function in functions:
        assert pickle.loads(pickle.dumps(function)) == function


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "nan",
            "'nan' returned nan on row 0; it must be a finite number or None",
        ),  # TRL takes it for None
        ("short", r"'short' returned '\[1.0\]' for 2 completions"),
        ("words", "'words' returned '1.0' on row 0"),
        ("broken", r"'broken' raised ZeroDivisionError.* on a batch of 2 completions"),
        (
            "slow_and_broken",
            r"'slow_and_broken' raised ZeroDivisionError.* on a batch of 2 completions",
        ),
    ],
)
def test_a_users_reward_is_checked_as_ours_are(name, message):
    (function,), _ = build_rewards([f"tests.support.user_rewards:{name}"])
    with pytest.raises(RewardError, match=message):
        call(function, completions=["a", "b"])


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
        ("tests.support.user_rewards:Ends", "missing 1 required positional argument: 'text'"),
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
    ],
)
def test_an_entry_that_cannot_be_used_is_refused_with_what_is_allowed(entry, message):
    with pytest.raises(RewardError, match=re.escape(message)):
        build_rewards([entry])


def test_a_reward_that_raises_or_returns_no_score_stops_the_run_and_names_the_row():
    def broken(completion, **row):
        return 1 / (completion != "b")

    def strange(completion, **row):
        return float("nan")

    with pytest.raises(RewardError, match=r"'broken' raised ZeroDivisionError.* on row 1: 'b'"):
        TRLReward(broken, "broken")(completions=["a", "b"])
    with pytest.raises(RewardError, match="'strange' returned nan on row 0"):
        TRLReward(strange, "strange")(completions=["a"])
