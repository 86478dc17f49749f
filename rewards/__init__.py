"""Rewards: what is worth paying for.

A reward judges one completion: `reward(completion=..., answer=..., **other columns of the row) -> float | None`.
`None` means "cannot be judged, leave this row out", never "wrong". `build` turns a recipe's `rewards:` entries into
callables for TRL's GRPOTrainer:

    rewards:
      - {name: accuracy, weight: 1.0}
      - {name: format, weight: 0.2}
      - {name: my_package.my_rewards:no_apologies, weight: 0.1}   # any TRL-style callable, by dotted path
"""

import difflib
import importlib
import inspect
import math
from collections.abc import Callable, Sequence
from dataclasses import fields, is_dataclass
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
from rewards.interface import BatchReward, Reward, RewardError
from rewards.isolation.sandbox import SandboxError
from rewards.random_reward import Random
from rewards.shaping.cosine import Cosine
from rewards.shaping.format import Format
from rewards.shaping.group_length import GroupLength
from rewards.shaping.language_consistency import Language
from rewards.shaping.overlong import Overlong
from rewards.shaping.reasoning_steps import ReasoningSteps
from rewards.shaping.repetition import Repetition
from rewards.shaping.tag_count import TagCount
from rewards.trl_adapter import AsyncTRLFunction, TRLFunction, TRLReward, score_completions, text_of

__all__ = [
    "REWARDS",
    "Reward",
    "RewardError",
    "TRLReward",
    "build_rewards",
    "get_reward",
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
    # Is it anything at all? The control.
    "random": Random,
}


def build_rewards(
    entries: Sequence[dict[str, Any] | str], prefix: str = ""
) -> tuple[list[Callable[..., Any]], list[float]]:
    """TRL callables and their weights from a recipe's `rewards:` entries.

    An entry is `{name, weight (default 1.0), parameters of the reward ...}` or just the name. A name is a key of `REWARDS`
    or the dotted path `package.module:callable` of a TRL-style reward function (async, too), of a function of one `completion`,
    or of a class of either; they get their parameters as keywords.
    Raises `RewardError` with what is allowed if an entry cannot be used.
    """
    functions, weights = [], []
    for entry in entries:
        parameters = (
            {"name": entry}
            if isinstance(entry, str)
            else dict(entry)
            if isinstance(entry, dict)
            else {}
        )
        name = parameters.pop("name", None)
        if not isinstance(name, str):
            raise RewardError(
                f"rewards: the entry {entry!r} has no name; write {{name: accuracy, weight: 1.0}}"
            )
        weight = parameters.pop("weight", 1.0)
        if (
            isinstance(weight, bool)
            or not isinstance(weight, int | float)
            or not math.isfinite(weight)
        ):
            raise RewardError(f"rewards: the weight of {name!r} is {weight!r}; write a number")
        functions.append(
            _import_reward(name, parameters, prefix)
            if is_dotted(name)
            else TRLReward(get_reward(name, parameters), name, prefix)
        )
        weights.append(float(weight))
    return functions, weights


def is_dotted(name: str) -> bool:
    return ":" in name or "." in name


def get_reward(name: str, parameters: dict[str, Any] | None = None) -> Reward:
    """The reward called `name`, with its parameters. Raises `RewardError` if there is none or a parameter is unknown."""
    if name not in REWARDS:
        near = difflib.get_close_matches(name, REWARDS, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise RewardError(
            f"rewards: there is no reward {name!r}; {hint}There are: {', '.join(REWARDS)}, or package.module:callable"
        )
    reward = REWARDS[name]
    allowed = [field.name for field in fields(reward)] if is_dataclass(reward) else []
    for key in parameters or {}:
        if key not in allowed:
            raise RewardError(
                f"rewards: {name!r} has no parameter {key!r}; allowed are: {', '.join(['weight', *allowed])}"
            )
    return _instantiate(name, reward, parameters or {})


def _import_reward(path: str, parameters: dict[str, Any], prefix: str) -> Callable[..., Any]:
    """A user's own callable: `package.module:name`, or TRL's `package.module.name`."""
    module_name, _, attribute = path.partition(":") if ":" in path else path.rpartition(".")
    try:
        function = getattr(importlib.import_module(module_name), attribute)
    except (ImportError, AttributeError) as error:
        raise RewardError(f"rewards: cannot import {path!r}: {error}") from error
    if isinstance(function, type):  # a class with parameters, such as the ones in REWARDS
        function, parameters = _instantiate(path, function, parameters), {}
    if isinstance(function, BatchReward) or "completion" in inspect.signature(function).parameters:
        return TRLReward(
            partial(function, **parameters) if parameters else function, attribute, prefix
        )
    is_async = inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
        function.__call__
    )
    return (AsyncTRLFunction if is_async else TRLFunction)(function, attribute, parameters)


def _instantiate(name: str, reward: Callable[..., Reward], parameters: dict[str, Any]) -> Reward:
    try:
        made = reward(**parameters)
        if isinstance(made, BatchReward):
            made.check()
    except (
        TypeError,
        ValueError,
        SandboxError,
    ) as error:  # a parameter is missing or makes no sense, or the machine is not fit
        raise RewardError(f"rewards: {name!r}: {error}") from error
    return made
