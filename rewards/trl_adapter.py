"""Rewards in the form that TRL's GRPOTrainer calls: columns in, scores out, checked and measured.

Each call logs, under `rewards/<name>/`, beside the mean that TRL logs itself:

    none         fraction of completions without a score
    failed       fraction without a score because the scorer itself failed
    timed_out    fraction that exceeded a time or memory limit
    raised       fraction that made a foreign verifier raise
    seconds      duration of the call

TRL averages these over processes and calls.
"""

import asyncio
import inspect
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from rewards.interface import BatchReward, RewardError, Row, ScoredBatch
from rewards.scoring import check_scores, errors_naming, score_completions

LogMetric = Callable[[str, float], None]


@dataclass(frozen=True)
class RewardFunction:
    """A reward that scores one completion, or a batch of texts, called in TRL's form.

    Attributes:
        reward: see `rewards.interface`.
        name: its name in metrics, rollouts and error messages.
        parameters: keyword arguments of every call.
        prefix: text that the chat template has already put at the start of the model's turn, such
            as `<think>`; completions are scored with it in front.
    """

    reward: Callable[..., Any]
    name: str
    parameters: dict[str, Any] = field(default_factory=dict)
    prefix: str = ""

    @property
    def __name__(self) -> str:  # TRL names its metrics by it
        return self.name

    def __call__(self, completions: Sequence[Any], **columns: Any) -> list[float | None]:
        """One score per completion. Raises `RewardError` if the reward fails."""
        started = time.perf_counter()
        batch = self._call(completions, columns)
        self._log(batch, columns.get("log_metric"), time.perf_counter() - started)
        return batch.scores

    def _call(self, completions: Sequence[Any], columns: dict[str, Any]) -> ScoredBatch:
        reward = partial(self.reward, **self.parameters) if self.parameters else self.reward
        texts = [self.prefix + text_of(completion) for completion in completions]
        # A parameter of the recipe wins over a column of its name.
        columns = {name: cells for name, cells in columns.items() if name not in self.parameters}
        return score_completions(reward, self.name, texts, _rows(columns, len(completions)))

    def _log(self, batch: ScoredBatch, log_metric: LogMetric | None, seconds: float) -> None:
        if log_metric is None or not batch.scores:
            return
        # Fractions and not counts: TRL averages over processes and calls.
        counts = {
            "none": batch.scores.count(None),
            "failed": batch.failed,
            "timed_out": batch.timed_out,
            "raised": batch.raised,
        }
        for key, count in counts.items():
            log_metric(f"rewards/{self.name}/{key}", count / len(batch.scores))
        log_metric(f"rewards/{self.name}/seconds", seconds)


class ColumnRewardFunction(RewardFunction):
    """A user's reward function that is already in TRL's form; it gets the arguments of TRL."""

    def _call(self, completions: Sequence[Any], columns: dict[str, Any]) -> ScoredBatch:
        with errors_naming(self.name, f"a batch of {len(completions)} completions"):
            scores = self.reward(**{**columns, **self.parameters, "completions": completions})
        return ScoredBatch(check_scores(self.name, scores, len(completions)))


class AsyncRewardFunction(ColumnRewardFunction):
    """The same for an `async def`; TRL runs all of these concurrently."""

    async def __call__(  # type: ignore[override]
        self, completions: Sequence[Any], **columns: Any
    ) -> list[float | None]:
        started = time.perf_counter()
        with errors_naming(self.name, f"a batch of {len(completions)} completions"):
            arguments = {**columns, **self.parameters, "completions": completions}
            scores = await self.reward(**arguments)
        batch = ScoredBatch(check_scores(self.name, scores, len(completions)))
        self._log(batch, columns.get("log_metric"), time.perf_counter() - started)
        return batch.scores


@dataclass(frozen=True)
class ColumnReward(BatchReward):
    """A user's reward in TRL's form where there is no trainer: in `generate` and `evaluate`.

    Its function gets what GRPOTrainer would pass: messages where the prompt is a list of messages,
    and the dataset's columns. Of what only a trainer knows, there are no `completion_ids`, and
    `trainer_state` is None; what the function logs is dropped.
    """

    function: RewardFunction

    def score_batch(self, completions: Sequence[str], rows: Sequence[Row]) -> ScoredBatch:
        names = dict.fromkeys(name for row in rows for name in row)
        columns: dict[str, Any] = {name: [row.get(name) for row in rows] for name in names}
        prompts = columns.pop("prompt", [None] * len(rows))
        columns.pop("completion", None)
        # TRL's own arguments win over columns of their names.
        columns |= {
            "prompts": prompts,
            "completions": list(map(_like_prompt, completions, prompts)),
            "trainer_state": None,
            "log_extra": _ignore,
            "log_metric": _ignore,
        }
        return ScoredBatch(call_reward_function(self.function, **columns))


def function_class(reward: Any) -> type[RewardFunction]:
    """The class that calls `reward`, by the form in which it is written."""
    if takes_one_completion(reward):
        return RewardFunction
    # TRL's form. An object with an async `__call__` counts as async, too.
    if inspect.iscoroutinefunction(reward) or inspect.iscoroutinefunction(reward.__call__):
        return AsyncRewardFunction
    return ColumnRewardFunction


def takes_one_completion(reward: Any) -> bool:
    """Whether `reward` has our form (one `completion`) rather than TRL's (`completions`)."""
    return isinstance(reward, BatchReward) or "completion" in inspect.signature(reward).parameters


def check_rows(functions: Iterable[RewardFunction], rows: Iterable[Row]) -> None:
    """Raises `RewardError` for a reward that can score none of the rows of a dataset."""
    for function in functions:
        # Rewards of length ask another reward whether the answer is right.
        for reward in (function.reward, getattr(function.reward, "correctness_reward", None)):
            if not isinstance(reward, BatchReward):
                continue
            try:
                reward.check_rows(rows)
            except ValueError as error:
                raise RewardError(f"rewards: {function.name!r}: {error}") from error


def call_reward_function(function: RewardFunction, /, **columns: Any) -> list[float | None]:
    """The scores of a reward function outside a trainer, whether it is async or not."""
    scores: Any = function(**columns)
    return asyncio.run(scores) if asyncio.iscoroutine(scores) else scores


def text_of(completion: Any) -> str:
    """The text of a completion in either of TRL's forms: a string, or a list of messages."""
    return completion if isinstance(completion, str) else completion[-1]["content"]


def _like_prompt(completion: str, prompt: Any) -> Any:
    """A completion in the form of its prompt: a text, or a list of messages."""
    if isinstance(prompt, list):
        return [{"role": "assistant", "content": completion}]
    return completion


def _ignore(name: str, value: Any) -> None:
    """Stands for TRL's `log_extra` and `log_metric`."""


def _rows(columns: dict[str, Any], count: int) -> list[Row]:
    """One mapping per completion. Arguments of TRL that are no columns are left out."""
    per_row = {
        key: values
        for key, values in columns.items()
        if isinstance(values, list) and len(values) == count
    }
    return [{key: values[index] for key, values in per_row.items()} for index in range(count)]
