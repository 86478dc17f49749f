"""Rewards as a user would write them: one for each form that a recipe can name by dotted path."""

import asyncio
import os
import time
from dataclasses import dataclass

from rewards.interface import Reward


def longer(completions, bonus=0.0, **columns):
    """TRL's form: whole columns."""
    return [len(completion[-1]["content"]) + bonus for completion in completions]


def any_answer(completions, bonus=0.0, **columns):
    """TRL's form, with a parameter: every completion is right."""
    return [bonus] * len(completions)


def lengths_of_texts(prompts, completions, trainer_state, log_metric, **columns):
    """TRL's form, for prompts that are texts."""
    assert all(isinstance(text, str) for text in prompts + completions)
    log_metric("lengths", 1.0)
    return [float(len(text)) for text in completions]


async def slow(completions, log_metric=None, **columns):
    """TRL's form, async, with an argument that TRL itself passes."""
    await asyncio.sleep(0.01)
    if log_metric:
        log_metric("slow/calls", 1)
    return [0.5 if index % 2 else None for index in range(len(completions))]


def repeats_gold(completion, answer, times=1, **row):
    """One completion, as a function with a parameter."""
    return float(completion.count(answer) == times)


@dataclass(frozen=True)
class Ends:
    """One completion, as a class with a parameter."""

    text: str

    def __call__(self, completion, answer, **row):
        return float(completion.endswith(self.text))


@dataclass(frozen=True)
class NumbersOnly:
    """A class with a parameter that cannot score a gold answer in words."""

    tolerance: float

    def __call__(self, completion, answer, **row):
        if not answer.isdecimal():
            return None
        text = completion.partition("<answer>")[2].partition("</answer>")[0]
        return float(text.isdecimal() and abs(int(text) - int(answer)) <= self.tolerance)


@dataclass(frozen=True)
class HalfIfWrong:
    """A class that builds on another reward."""

    correctness_reward: Reward

    def __call__(self, completion, **row):
        return 1.0 if self.correctness_reward(completion=completion, **row) == 1.0 else 0.5


# Broken rewards, in TRL's form.


def nan(completions, **columns):
    return [float("nan")] * len(completions)


def short(completions, **columns):
    return [1.0]


def words(completions, **columns):
    return ["1.0"] * len(completions)


def broken(completions, **columns):
    return 1 / 0


async def slow_and_broken(completions, **columns):
    return 1 / 0


def hangs(completions, **kwargs):
    """Hangs in the second process."""
    if os.environ.get("RANK") == "1":
        time.sleep(3600)
    return [float(len(completion)) for completion in completions]


def near(completions, answer, **columns):
    """Partial credit for an answer near the gold one, as in unsloth's notebooks."""
    scores = []
    for completion, gold in zip(completions, answer, strict=True):
        text = completion[-1]["content"].partition("<answer>")[2].partition("</answer>")[0]
        number = float(text) if text.replace(".", "").isdecimal() else float("inf")
        gap = abs(number - float(gold))
        if gap == 0:
            scores.append(1.0)
        else:
            scores.append(0.5 if gap < 5 else 0.0)
    return scores
