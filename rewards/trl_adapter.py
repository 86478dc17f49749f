"""How does TRL call a reward, and what is checked when it does?"""

import math
import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from rewards.interface import BatchReward, Reward, RewardError, Row, ScoredBatch

LogMetric = Callable[[str, float], None]


@dataclass(frozen=True)
class TRLReward:
    """A reward of one completion as TRL calls it: whole columns in, a list of scores out.

    Beside the mean, which TRL logs, each call logs under `rewards/<name>/` the shares of completions that could not be judged
    (`none`), of these by the judge's own fault (`failed`), and that ran into a limit (`timed_out`), and the `seconds` it took;
    and their number as `judge/timeouts`. TRL averages them over processes and calls.

    Parameters:
        reward: judges one completion, see `rewards`.
        name: what the reward is called in metrics, rollouts and messages.
        prefix: what the chat template has already put at the start of the model's turn, such as `<think>`.
    """

    reward: Reward
    name: str
    prefix: str = ""

    @property
    def __name__(self) -> str:  # TRL names its metrics by it
        return self.name

    def __call__(
        self, completions: Sequence[Any], log_metric: LogMetric | None = None, **columns: Any
    ) -> list[float | None]:
        """Scores of shape `(len(completions),)`. Raises `RewardError` naming the row if the reward fails on it."""
        started = time.perf_counter()
        columns = {
            key: values
            for key, values in columns.items()
            if isinstance(values, list) and len(values) == len(completions)
        }
        rows = [
            {key: values[index] for key, values in columns.items()}
            for index in range(len(completions))
        ]
        judged = score_completions(
            self.reward,
            self.name,
            [self.prefix + text_of(completion) for completion in completions],
            rows,
        )
        if log_metric:
            log_metric("judge/timeouts", judged.timed_out)
        _log(log_metric, self.name, judged, started)
        return judged.scores


@dataclass(frozen=True)
class TRLFunction:
    """A TRL-style reward function of the user's, called as TRL calls it, its scores checked and logged like `TRLReward`'s."""

    function: Callable[..., Any]
    name: str
    parameters: dict[str, Any] = field(default_factory=dict)

    @property
    def __name__(self) -> str:
        return self.name

    def __call__(self, completions: Sequence[Any], **columns: Any) -> list[float | None]:
        started = time.perf_counter()
        try:
            scores = self.function(completions=completions, **columns, **self.parameters)
        except Exception as error:
            raise _raised(self.name, error, completions) from error
        return _finish(self.name, scores, completions, columns, started)


class AsyncTRLFunction(TRLFunction):
    """The same of an async function; TRL runs all of these at once."""

    async def __call__(self, completions: Sequence[Any], **columns: Any) -> list[float | None]:  # type: ignore[override]
        started = time.perf_counter()
        try:
            awaited: Awaitable[Any] = self.function(
                completions=completions, **columns, **self.parameters
            )
            scores = await awaited
        except Exception as error:
            raise _raised(self.name, error, completions) from error
        return _finish(self.name, scores, completions, columns, started)


def score_completions(
    reward: Reward, name: str, completions: Sequence[str], rows: Sequence[Row]
) -> ScoredBatch:
    """The scores of a batch of texts, checked: for training, `generate`, `evaluate` and `python -m rewards` alike.

    Raises `RewardError` that names the reward, the row and the exception if the reward raises or returns something that is
    neither a finite number nor `None`.
    """
    if isinstance(reward, BatchReward):
        try:
            judged = reward.score_batch(completions, rows)
        except Exception as error:
            raise _raised(name, error, completions) from error
        return replace(judged, scores=_checked(name, judged.scores, completions))
    scores = []
    for index, (completion, row) in enumerate(zip(completions, rows, strict=True)):
        try:
            scores.append(reward(**{**row, "completion": completion}))
        except Exception as error:
            # Not swallowed: a broken reward must stop the run, and the message must say which row broke it.
            raise RewardError(
                f"reward {name!r} raised {error!r} on row {index}: {completion[:200]!r}"
            ) from error
    return ScoredBatch(_checked(name, scores, completions))


def text_of(completion: Any) -> str:
    """The text of a completion in either of TRL's forms: a string, or a list of messages."""
    return completion if isinstance(completion, str) else completion[-1]["content"]


def _raised(name: str, error: Exception, completions: Sequence[Any]) -> RewardError:
    return RewardError(
        f"reward {name!r} raised {error!r} on a batch of {len(completions)} completions"
    )


def _finish(
    name: str, scores: Any, completions: Sequence[Any], columns: dict[str, Any], started: float
) -> list[float | None]:
    judged = ScoredBatch(_checked(name, scores, completions))
    _log(columns.get("log_metric"), name, judged, started)
    return judged.scores


def _checked(name: str, scores: Any, completions: Sequence[Any]) -> list[float | None]:
    """`scores` as floats. TRL would take a NaN for `None`, and an infinite one for good."""
    if not isinstance(scores, Collection) or len(scores) != len(completions):
        raise RewardError(
            f"reward {name!r} returned {str(scores)[:100]!r} for {len(completions)} completions; one score each"
        )
    checked: list[float | None] = []
    for index, value in enumerate(scores):
        try:
            number = None if value is None else float(value)
        except (TypeError, ValueError):
            number = math.nan
        if number is not None and (isinstance(value, str) or not math.isfinite(number)):
            raise RewardError(
                f"reward {name!r} returned {value!r} on row {index}; it must be a finite number or None"
            )
        checked.append(number)
    return checked


def _log(log_metric: LogMetric | None, name: str, judged: ScoredBatch, started: float) -> None:
    if log_metric and judged.scores:
        counts = {
            "none": judged.scores.count(None),
            "failed": judged.failed,
            "timed_out": judged.timed_out,
        }
        for key, count in counts.items():
            log_metric(f"rewards/{name}/{key}", count / len(judged.scores))
        log_metric(f"rewards/{name}/seconds", time.perf_counter() - started)
