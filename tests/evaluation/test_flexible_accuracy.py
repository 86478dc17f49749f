"""Flexible accuracy finds an answer anywhere after the thinking, and never within it."""

import pytest

from recipes.core.evaluation import FlexibleAccuracy
from rewards import get_reward
from rewards.completion import flexible_completion, parse_completion
from tests.support.commands import answered


@pytest.mark.parametrize(
    ("completion", "answer"),
    [
        (answered("42"), "42"),
        ("<think>41</think> The answer is 42.", "42"),  # no answer block
        ("<think>41</think><answer>42", "42"),  # not closed
        ("<think>41</think> 40 <answer>42</answer> and 43", "42"),  # text behind it
        ("<think>1</think><answer>41</answer><answer>42</answer>", "42"),  # the last of two
        ("41 ... so \\boxed{42}, in 3 steps", "42"),  # no thinking tags
        ("It is 1,042.50 dollars", "1,042.50"),
        ("So it is 3/4", "3/4"),
        ("<think>41</think>\nParis", "Paris"),  # no number: the last line
        ("<think>it is 42", None),  # thinking never ends
        ("<think>42</think>", None),  # no text after it
        ("", None),
    ],
)
def test_the_flexible_answer_appears_anywhere_after_the_thinking(completion, answer):
    parsed = parse_completion(flexible_completion(completion))
    assert (parsed.answer if parsed else None) == answer


def test_a_correct_answer_outside_its_tags_is_right_flexibly_and_wrong_strictly():
    strict = get_reward("accuracy")
    completions = [answered("42"), "<think>41</think> It is 42.", "<think>42</think> It is 41."]
    rows = [{"answer": "42"}] * 3
    flexible = FlexibleAccuracy(strict)
    assert flexible.score_batch(completions, rows).scores == [1.0, 1.0, 0.0]
    assert strict.score_batch(completions, rows).scores == [1.0, 0.0, 0.0]
