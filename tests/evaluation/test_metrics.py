"""The arithmetic of scores, on counts made by hand."""

import itertools
import math

import pytest

from recipes.core.errors import UserError
from recipes.core.evaluation.metrics import (
    bootstrap_interval,
    compare_paired,
    majority_vote,
    pass_at_k,
    summarize_scores,
)
from rewards.completion import flexible_completion, parse_completion
from tests.support.commands import answered


def row(key, completion, verdict, sample=0, **changes):
    well_formed = float(parse_completion(completion) is not None)
    return {"question_id": key, "sample_index": sample, "completion": completion, "correct": verdict, "flexible": verdict, "format": well_formed,
            "tokens": 10, "finished": True} | changes  # fmt: skip


@pytest.mark.parametrize(("n", "right"), [(1, 0), (1, 1), (4, 0), (4, 1), (4, 3), (4, 4), (6, 2)])
def test_pass_at_k_is_the_share_of_all_draws_of_k_samples_that_hold_a_right_one(n, right):
    samples = [True] * right + [False] * (n - right)
    for k in range(1, n + 1):
        draws = list(itertools.combinations(samples, k))
        assert pass_at_k(n, right, k) == pytest.approx(sum(map(any, draws)) / len(draws))


def test_a_summary_counts_questions_and_not_samples():
    rows = [row("a", answered("1"), 1.0, n) for n in range(2)] + [
        row("b", answered("2"), 0.0),
        row("b", answered("1"), 1.0, 1),
    ]
    rows += [row("c", "1", 0.0, flexible=1.0), row("c", "no idea", 0.0, 1, finished=False)] + [
        row("d", answered("1"), None)
    ] * 2
    values = summarize_scores(rows)
    assert values["accuracy"] == pytest.approx((1 + 0.5 + 0) / 3)
    assert values["pass_at"] == {"1": pytest.approx(0.5), "2": pytest.approx(2 / 3)}
    assert values["flexible_accuracy"] == pytest.approx((1 + 0.5 + 0.5) / 3)
    assert (values["format"], values["accuracy_given_format"]) == (pytest.approx(4 / 6), 0.75)
    assert values["majority"] == pytest.approx(1 / 3)  # the first drawn wins the tie of b
    assert (values["n"], values["samples"], values["unjudged"], values["truncated"]) == (
        3,
        6,
        2,
        pytest.approx(1 / 6),
    )
    assert values["ci95"][0] <= values["accuracy"] <= values["ci95"][1]
    with pytest.raises(UserError, match="none of the gold answers can be scored"):
        summarize_scores([row("d", answered("1"), None)])


def test_majority_counts_answers_and_not_spellings():
    spellings = [answered(text) for text in ("3", r"\frac{1}{2}", r"$\dfrac{1}{2}$", "0.5")]
    samples = [row("a", text, float(index > 0), index) for index, text in enumerate(spellings)]
    assert majority_vote(samples) == 1.0
    assert majority_vote([row("a", "no trace", 1.0)]) == 0.0


def test_the_bootstrap_interval_is_about_two_standard_errors_wide_and_the_same_each_time():
    values = [1.0] * 300 + [0.0] * 700
    low, high = bootstrap_interval(values, seed=1)
    error = math.sqrt(0.3 * 0.7 / 1000)
    assert (low, high) == (
        pytest.approx(0.3 - 1.96 * error, abs=0.004),
        pytest.approx(0.3 + 1.96 * error, abs=0.004),
    )
    assert bootstrap_interval(values, seed=1) == (low, high)


def test_a_paired_test_finds_a_small_gain_on_the_same_questions_and_none_where_there_is_none():
    before = {str(n): float(n % 3 == 0) for n in range(300)}
    same = compare_paired(before, dict(before), seed=0)
    assert (same["difference"], same["p"], same["n"]) == (0.0, 1.0, 300)
    gained = compare_paired(before, before | {str(n): 1.0 for n in range(1, 60, 3)}, seed=0)
    assert (
        gained["difference"] == pytest.approx(20 / 300)
        and gained["p"] < 0.001
        and gained["ci95"][0] > 0
    )
    shuffled = compare_paired(
        before, {str(n): float(n % 3 == 1) for n in range(300)}, seed=0
    )  # as good, on other questions
    assert shuffled["p"] > 0.5


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
        ("<think>it is 42", None),  # never stopped thinking
        ("<think>42</think>", None),  # and then said nothing
        ("", None),
    ],
)
def test_the_lenient_answer_stands_anywhere_after_the_thinking(completion, answer):
    trace = parse_completion(flexible_completion(completion))
    assert (trace.answer if trace else None) == answer
