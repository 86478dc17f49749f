"""Rewards as a user would write them, for the tests: each form that a recipe can name by dotted path."""

import asyncio
import os
import time
from dataclasses import dataclass


def longer(completions, bonus=0.0, **columns):
    """TRL's form: whole columns."""
    return [len(completion[-1]["content"]) + bonus for completion in completions]


async def slow(completions, log_metric=None, **columns):
    """The same, async, with TRL's own arguments."""
    await asyncio.sleep(0.01)
    if log_metric:
        log_metric("slow/calls", 1)
    return [0.5 if index % 2 else None for index in range(len(completions))]


@dataclass(frozen=True)
class Ends:
    """One completion at a time, with a parameter."""

    text: str

    def __call__(self, completion, answer, **row):
        return float(completion.endswith(self.text))


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
    """In the second process, for ever."""
    if os.environ.get("RANK") == "1":
        time.sleep(3600)
    return [float(len(completion)) for completion in completions]
