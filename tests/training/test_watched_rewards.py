"""A watched reward scores as before, and reports before and after."""

import asyncio

import pytest
from trl.trainer.utils import is_async_callable

from recipes.core.training import watched_rewards
from recipes.core.training.watched_rewards import watch_reward


def length(completions):
    return [float(len(completion)) for completion in completions]


async def length_async(completions):
    return length(completions)


@pytest.fixture
def reports(monkeypatch):
    activities = []
    monkeypatch.setattr(watched_rewards, "report_activity", activities.append)
    return activities


@pytest.mark.parametrize("function", [length, length_async])
def test_a_reward_reports_before_and_after_it_scores(reports, function):
    watched = watch_reward("length", function, lambda: 3)
    # TRL awaits async rewards and names rewards by their `__name__`.
    assert is_async_callable(watched) == is_async_callable(function)
    assert watched.__name__ == function.__name__
    scores = watched(completions=["ab"])
    if is_async_callable(function):
        scores = asyncio.run(scores)
    assert scores == [2.0]
    assert reports == ["step 3: scoring with length", "step 3: scored with length"]
