"""A run from which nothing can be learnt is noticed, with the likely cause."""

import pytest

from recipes.core.training.learning_watch import WARN_AFTER, LearningWatch, correctness_names
from rewards import build_rewards

WEIGHTS = {"accuracy": 1.0, "format": 0.2, "measured": 0.0}


def rows(accuracy, form=(0.0,) * 4, texts="abcd", measured=(0.0,) * 4, answer="7"):
    """Two groups of two completions."""
    earned = zip(accuracy, form, measured, texts, strict=True)
    return [
        {
            "rewards": {"accuracy": right, "format": well_formed, "measured": other},
            "completion": text,
            "answer": answer,
        }
        for right, well_formed, other, text in earned
    ]


def watch():
    return LearningWatch(WEIGHTS, {"accuracy"}, group=2)


ALL_WRONG = (0.0,) * 4
UNREADABLE = (None,) * 4


@pytest.mark.parametrize(
    ("rollouts", "truncated", "cause"),
    [
        (rows(ALL_WRONG), 0.0, "no answer is right"),
        (rows(ALL_WRONG), 1.0, "every completion is truncated"),
        (rows(ALL_WRONG, texts="aabb"), 0.0, "are the same text; write a higher temperature"),
        (rows((1.0,) * 4), 0.0, "every answer is right"),
        (rows((1.0, 1.0, 0.0, 0.0)), 0.0, "of each question earn the same"),  # between groups
        # What is only measured, with weight 0, teaches nothing.
        (rows(ALL_WRONG, measured=(0.0, 1.0, 0.0, 1.0)), 0.0, "no answer is right"),
        (rows(UNREADABLE, answer="x^"), 0.0, "accuracy could score no completion.* as 'x.'"),
        # The format differs, but no gold is ever compared.
        (rows(UNREADABLE, form=(0.0, 1.0, 0.0, 1.0)), 0.0, "accuracy could score no completion"),
    ],
)
def test_a_run_without_anything_to_learn_says_the_likely_cause(rollouts, truncated, cause, caplog):
    import re

    learning = watch()
    for _ in range(WARN_AFTER + 5):
        learning.observe(rollouts, truncated)
        learning.warn()
    assert re.search(cause, learning.problem())
    # While it runs it says so once.
    assert caplog.text.count(f"nothing was learnt for {WARN_AFTER} steps") == 1
    assert re.search(cause, caplog.text)


@pytest.mark.parametrize(
    "rollouts",
    [
        rows((0.0, 1.0, 0.0, 0.0)),  # one group is enough
        rows(ALL_WRONG, form=(0.0, 1.0, 0.0, 0.0)),  # of any reward
        rows((None, 1.0, None, None)),  # one completion that can be scored
    ],
)
def test_a_single_difference_in_the_whole_run_is_something_to_learn(rollouts):
    learning = watch()
    learning.observe(rows(ALL_WRONG))
    learning.observe(rollouts)
    assert learning.problem() is None


def test_a_run_that_stops_learning_is_told_and_is_no_failure(caplog):
    learning = watch()
    learning.observe(rows((0.0, 1.0, 0.0, 0.0)))
    for _ in range(WARN_AFTER):
        learning.observe(rows((1.0,) * 4))
        learning.warn()
    assert "every answer is right" in caplog.text
    assert learning.problem() is None


def test_a_completion_without_a_score_is_no_difference():
    learning = LearningWatch({"accuracy": 1.0}, {"accuracy"}, group=2)
    learning.observe(rows((None, 1.0, 0.0, None)))  # TRL leaves the unscored ones out
    assert "earn the same" in learning.problem()


def test_one_of_two_rewards_that_reads_the_golds_is_enough():
    weights = {"accuracy": 1.0, "format": 0.2}
    learning = LearningWatch(weights, {"accuracy", "format"}, group=2)
    learning.observe(rows(UNREADABLE, form=(0.0, 1.0, 0.0, 1.0)))
    assert learning.problem() is None


def test_a_run_without_a_step_has_no_problem():
    assert watch().problem() is None


def test_the_rewards_of_correctness_are_those_that_read_a_gold():
    names = ["accuracy", "format", "exact", "tag_count", "trl.rewards:accuracy_reward"]
    functions, _ = build_rewards(names)
    assert correctness_names(functions) == {"accuracy", "exact", "accuracy_reward"}
