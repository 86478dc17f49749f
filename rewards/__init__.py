"""Rewards for GRPO: the registry, and how the `rewards:` entries of a recipe become functions.

A reward scores one completion: `reward(completion=..., answer=..., **columns) -> float | None`.
`None` means "cannot be scored, leave this row out", never "wrong"; an exception stops the run.

    rewards:
      - {name: accuracy, weight: 1.0}
      - {name: format, weight: 0.2}
      - {name: my_package.my_rewards:no_apologies, weight: 0.1}   # your own, by dotted path

rewards/README.md explains every reward and how to write one.
"""

import difflib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from functools import partial
from typing import Any

from rewards.correctness.accuracy import Accuracy
from rewards.correctness.choice import Choice
from rewards.correctness.code import Code
from rewards.correctness.countdown import Countdown
from rewards.correctness.exact import Exact
from rewards.correctness.llm_judge import LLMJudge
from rewards.correctness.reasoning_gym import ReasoningGym
from rewards.correctness.reward_model import RewardModel
from rewards.dotted_path import import_callable, is_dotted, split_path
from rewards.interface import BatchReward, Reward, RewardError, needs_answer
from rewards.isolation.sandbox import SandboxError
from rewards.random_reward import Random
from rewards.scoring import score_completions
from rewards.shaping.cosine import Cosine
from rewards.shaping.format import Format
from rewards.shaping.group_length import GroupLength
from rewards.shaping.language_consistency import Language
from rewards.shaping.overlong import Overlong
from rewards.shaping.reasoning_steps import ReasoningSteps
from rewards.shaping.repetition import Repetition
from rewards.shaping.tag_count import TagCount
from rewards.trl_adapter import (
    ColumnReward,
    RewardFunction,
    function_class,
    takes_one_completion,
    text_of,
)

__all__ = [
    "REWARDS",
    "Reward",
    "RewardError",
    "RewardFunction",
    "build_rewards",
    "get_reward",
    "needs_answer",
    "score_completions",
    "text_of",
]

REWARDS: dict[str, type] = {
    # Is the answer right?
    "accuracy": Accuracy,
    "exact": Exact,
    "choice": Choice,
    "countdown": Countdown,
    "code": Code,
    "reasoning_gym": ReasoningGym,
    "model": RewardModel,
    "judge": LLMJudge,
    # Is it written as it should be?
    "format": Format,
    "tag_count": TagCount,
    "language": Language,
    "reasoning_steps": ReasoningSteps,
    "repetition": Repetition,
    # Is it as long as it should be?
    "overlong": Overlong,
    "cosine": Cosine,
    "length_group": GroupLength,
    # Does anything at all do as well? The control.
    "random": Random,
}

# The parameter that names another reward, and its name in older recipes.
CORRECTNESS_PARAMETER = "correctness_reward"
RENAMED_PARAMETERS = {"verdict": CORRECTNESS_PARAMETER}


@dataclass(frozen=True)
class RewardEntry:
    """One entry of a recipe's `rewards:`, taken apart."""

    name: str
    weight: float
    parameters: dict[str, Any]


def build_rewards(
    entries: Sequence[dict[str, Any] | str], prefix: str = ""
) -> tuple[list[RewardFunction], list[float]]:
    """The functions for TRL and their weights, from a recipe's `rewards:` entries.

    An entry is `{name, weight (default 1.0), parameters of the reward ...}` or just the name. A
    name is a key of `REWARDS` or a dotted path `package.module:name` of a user's own reward.
    Raises `RewardError` with what is allowed if an entry cannot be used.

    Args:
        entries: the entries.
        prefix: text that the chat template puts at the start of the model's turn.
    """
    functions = []
    weights = []
    for raw_entry in entries:
        entry = _parse_entry(raw_entry)
        functions.append(_build_function(entry, prefix))
        weights.append(entry.weight)
    return functions, weights


def get_reward(entry: Mapping[str, Any] | str | None) -> Reward:
    """The reward of an entry `{name, parameters ...}`, or of a name alone, for texts.

    It scores one completion or, as a `BatchReward`, many. The name may be the dotted path of a
    user's own reward in any form. Raises `RewardError` if the entry cannot be used.
    """
    parsed = _parse_entry(entry)
    if parsed.weight != 1.0:
        raise RewardError(
            f"{CORRECTNESS_PARAMETER}: {parsed.name!r} cannot have a weight: an answer is right "
            "if its score is 1; leave `weight` out"
        )
    if not is_dotted(parsed.name):
        return _get_registered(parsed.name, parsed.parameters)

    # A user's own. TRL's form returns a list, and takes columns.
    reward, parameters = _import_reward(parsed.name, parsed.parameters)
    if not takes_one_completion(reward):
        return ColumnReward(function_class(reward)(reward, parsed.name, parameters))
    return partial(reward, **parameters) if parameters else reward


def _parse_entry(entry: Any) -> RewardEntry:
    parameters: dict[str, Any] = {}
    if isinstance(entry, str):
        parameters = {"name": entry}
    elif isinstance(entry, Mapping):
        parameters = dict(entry)

    # What remains after the name and the weight are the parameters of the reward.
    name = parameters.pop("name", None)
    if not isinstance(name, str):
        raise RewardError(
            f"rewards: the entry {entry!r} has no name; write {{name: accuracy, weight: 1.0}}"
        )
    weight = parameters.pop("weight", 1.0)
    is_number = isinstance(weight, int | float) and not isinstance(weight, bool)
    if not is_number or not math.isfinite(weight):
        raise RewardError(f"rewards: the weight of {name!r} is {weight!r}; write a number")
    return RewardEntry(name, float(weight), parameters)


def _build_function(entry: RewardEntry, prefix: str) -> RewardFunction:
    # One of ours.
    if not is_dotted(entry.name):
        reward = _get_registered(entry.name, entry.parameters)
        return RewardFunction(reward, entry.name, prefix=prefix)

    # A user's own, in our form or in TRL's; metrics use its name without the module.
    reward, parameters = _import_reward(entry.name, entry.parameters)
    _, attribute = split_path(entry.name)
    return function_class(reward)(reward, attribute, parameters, prefix)


def _get_registered(name: str, parameters: Mapping[str, Any]) -> Reward:
    """An instance of a reward of `REWARDS`."""
    # A misspelt name gets the nearest one as a hint.
    if name not in REWARDS:
        near = difflib.get_close_matches(name, REWARDS, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise RewardError(
            f"rewards: there is no reward {name!r}; {hint}"
            f"There are: {', '.join(REWARDS)}, or package.module:callable"
        )

    # Parameters are checked here, because the TypeError of a dataclass would not list them.
    reward_class = REWARDS[name]
    allowed = [field.name for field in fields(reward_class)] if is_dataclass(reward_class) else []
    for key in parameters:
        if key in allowed:
            continue
        if RENAMED_PARAMETERS.get(key) in allowed:
            raise RewardError(
                f"rewards: {name!r} has no parameter {key!r} any more; "
                f"write {RENAMED_PARAMETERS[key]}: {parameters[key]}"
            )
        raise RewardError(
            f"rewards: {name!r} has no parameter {key!r}; "
            f"allowed are: {', '.join(['weight', *allowed])}"
        )
    return _instantiate(name, reward_class, parameters)


def _import_reward(
    path: str, parameters: Mapping[str, Any]
) -> tuple[Callable[..., Any], dict[str, Any]]:
    """A user's own reward, and the parameters to pass on each call.

    A class gets its parameters once, like the rewards in `REWARDS`; a function on every call.
    """
    reward = import_callable(path)
    if isinstance(reward, type):
        return _instantiate(path, reward, parameters), {}
    return reward, dict(parameters)


def _instantiate(name: str, reward_class: type, parameters: Mapping[str, Any]) -> Any:
    """An instance of a reward's class, ready to score."""
    # The parameter that names another reward becomes that reward.
    parameters = dict(parameters)
    if CORRECTNESS_PARAMETER in parameters:
        correctness = parameters[CORRECTNESS_PARAMETER]
        if isinstance(correctness, str | Mapping):
            parameters[CORRECTNESS_PARAMETER] = get_reward(correctness)
        elif not callable(correctness):
            raise RewardError(
                f"rewards: {name!r}: {CORRECTNESS_PARAMETER} is {correctness!r}; "
                "write the name of a reward"
            )

    # A parameter is missing or invalid, or the machine lacks what the reward needs.
    try:
        reward = reward_class(**parameters)
        if isinstance(reward, BatchReward):
            reward.check()
    except (TypeError, ValueError, SandboxError) as error:
        raise RewardError(f"rewards: {name!r}: {error}") from error
    return reward
