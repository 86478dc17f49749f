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
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

from rewards.accuracy import Accuracy
from rewards.batch import BatchReward, Judged, Row
from rewards.choice import Choice
from rewards.code import Code
from rewards.cosine import Cosine
from rewards.countdown import Countdown
from rewards.exact import Exact
from rewards.format import Format
from rewards.judge import LLMJudge
from rewards.language import Language
from rewards.length_group import LengthGroup
from rewards.model import Model
from rewards.overlong import Overlong
from rewards.reasoning_gym import ReasoningGym
from rewards.reasoning_steps import ReasoningSteps
from rewards.repetition import Repetition
from rewards.sandbox import SandboxError
from rewards.tag_count import TagCount

Reward = Callable[..., float | None]
LogMetric = Callable[[str, float], None]

REWARDS: dict[str, type] = {
    # Is the answer right?
    "accuracy": Accuracy,
    "exact": Exact,
    "choice": Choice,
    "countdown": Countdown,
    "code": Code,
    "reasoning_gym": ReasoningGym,
    "model": Model,
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
    "length_group": LengthGroup,
}


class RewardError(ValueError):
    """A reward that does not exist, was given wrong parameters, raised, or returned something that is not a score."""


@dataclass(frozen=True)
class TRLReward:
    """A reward as TRL calls it: whole columns in, a list of scores out.

    Parameters:
        reward: judges one completion, see the module's docstring.
        name: what the reward is called in metrics, rollouts and messages.
        prefix: what the chat template has already put at the start of the model's turn, such as `<think>`.
    """

    reward: Reward
    name: str
    prefix: str = ""

    @property
    def __name__(self) -> str:  # TRL names its metrics by it
        return self.name

    def __call__(self, completions: Sequence[Any], log_metric: LogMetric | None = None, **columns: Any) -> list[float | None]:
        """Scores of shape `(len(completions),)`. Logs, beside the mean that TRL logs, the shares of completions that could not be
        judged (`none`), of these by the judge's own fault (`failed`), and that ran into a limit (`timed_out`), and the `seconds`
        of the batch. Raises `RewardError` naming the row if the reward fails on it."""
        started = time.perf_counter()
        columns = {key: values for key, values in columns.items() if isinstance(values, list) and len(values) == len(completions)}
        rows = [{key: values[index] for key, values in columns.items()} for index in range(len(completions))]
        judged = score(self.reward, self.name, [self.prefix + text_of(completion) for completion in completions], rows)
        if log_metric and completions:
            shares = {"none": judged.scores.count(None), "failed": judged.failed, "timed_out": judged.timed_out}
            for key, count in shares.items():
                log_metric(f"rewards/{self.name}/{key}", count / len(completions))
            log_metric(f"rewards/{self.name}/seconds", time.perf_counter() - started)
            log_metric("judge/timeouts", judged.timed_out)
        return judged.scores


def score(reward: Reward, name: str, completions: Sequence[str], rows: Sequence[Row]) -> Judged:
    """The scores of a batch of texts, checked: for training, `generate`, `evaluate` and `python -m rewards` alike.

    Raises `RewardError` that names the reward, the row and the exception if the reward raises or returns something that is
    neither a finite number nor `None`.
    """
    index = 0
    try:
        if isinstance(reward, BatchReward):
            judged = reward.judge(completions, rows)
        else:
            scores = []
            for index, (completion, row) in enumerate(zip(completions, rows, strict=True)):  # noqa: B007 (used in the message)
                scores.append(reward(**{**row, "completion": completion}))
            judged = Judged(scores)
    except Exception as error:
        # Not swallowed: a broken reward must stop the run, and the message must say which row broke it.
        where = (
            f"a batch of {len(completions)}" if isinstance(reward, BatchReward) else f"row {index}: {completions[index][:200]!r}"
        )
        raise RewardError(f"reward {name!r} raised {error!r} on {where}") from error
    if len(judged.scores) != len(completions):
        raise RewardError(f"reward {name!r} returned {len(judged.scores)} scores for {len(completions)} completions")
    for index, score in enumerate(judged.scores):
        if score is not None and not (isinstance(score, int | float) and math.isfinite(score)):
            raise RewardError(f"reward {name!r} returned {score!r} on row {index}; it must be a finite number or None")
    return replace(judged, scores=[None if score is None else float(score) for score in judged.scores])


def text_of(completion: Any) -> str:
    """The text of a completion in either of TRL's forms: a string, or a list of messages."""
    return completion if isinstance(completion, str) else completion[-1]["content"]


def build(entries: Sequence[dict[str, Any] | str], prefix: str = "") -> tuple[list[Callable[..., Any]], list[float]]:
    """TRL callables and their weights from a recipe's `rewards:` entries.

    An entry is `{name, weight (default 1.0), parameters of the reward ...}` or just the name. A name is a key of `REWARDS`
    or the dotted path `package.module:callable` of any TRL-style reward function, which gets its parameters as keywords.
    Raises `RewardError` with what is allowed if an entry cannot be used.
    """
    functions, weights = [], []
    for entry in entries:
        parameters = {"name": entry} if isinstance(entry, str) else dict(entry) if isinstance(entry, dict) else {}
        name = parameters.pop("name", None)
        if not isinstance(name, str):
            raise RewardError(f"rewards: the entry {entry!r} has no name; write {{name: accuracy, weight: 1.0}}")
        weight = parameters.pop("weight", 1.0)
        if isinstance(weight, bool) or not isinstance(weight, int | float) or not math.isfinite(weight):
            raise RewardError(f"rewards: the weight of {name!r} is {weight!r}; write a number")
        functions.append(_dotted(name, parameters) if is_dotted(name) else TRLReward(named(name, parameters), name, prefix))
        weights.append(float(weight))
    return functions, weights


def is_dotted(name: str) -> bool:
    return ":" in name or "." in name


def named(name: str, parameters: dict[str, Any] | None = None) -> Reward:
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
            raise RewardError(f"rewards: {name!r} has no parameter {key!r}; allowed are: {', '.join(['weight', *allowed])}")
    try:
        made: Reward = reward(**(parameters or {}))
        if isinstance(made, BatchReward):
            made.check()
    except (TypeError, ValueError, SandboxError) as error:  # a parameter is missing or makes no sense, or the machine is not fit
        raise RewardError(f"rewards: {name!r}: {error}") from error
    return made


def _dotted(path: str, parameters: dict[str, Any]) -> Callable[..., Any]:
    """A user's own callable. `package.module:name`, or TRL's `package.module.name`."""
    from functools import partial

    module_name, _, attribute = path.partition(":") if ":" in path else path.rpartition(".")
    try:
        function = getattr(importlib.import_module(module_name), attribute)
    except (ImportError, AttributeError) as error:
        raise RewardError(f"rewards: cannot import {path!r}: {error}") from error
    if isinstance(function, type):  # a parametrised reward class, such as the ones in REWARDS
        return function(**parameters)
    return partial(function, **parameters) if parameters else function
