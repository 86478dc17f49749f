"""Metrics, on counts made by hand."""

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
from tests.evaluation.samples import RIGHT, WRONG, make_sample
from tests.support.commands import answered


@pytest.mark.parametrize(("n", "correct"), [(1, 0), (1, 1), (4, 0), (4, 1), (4, 3), (4, 4), (6, 2)])
def test_pass_at_k_is_the_fraction_of_all_subsets_of_k_samples_with_a_correct_one(n, correct):
    samples = [True] * correct + [False] * (n - correct)
    for k in range(1, n + 1):
        subsets = list(itertools.combinations(samples, k))
        assert pass_at_k(n, correct, k) == pytest.approx(sum(map(any, subsets)) / len(subsets))


def test_a_summary_counts_questions_and_not_samples():
    samples = [
        make_sample("a", RIGHT, 1.0, 0),
        make_sample("a", RIGHT, 1.0, 1),
        make_sample("b", WRONG, 0.0, 0),
        make_sample("b", RIGHT, 1.0, 1),
        make_sample("c", "1", 0.0, 0, flexible=1.0),  # no tags
        make_sample("c", "no idea", 0.0, 1, finished=False),
        make_sample("d", RIGHT, None, 0),  # its gold answer cannot be scored
        make_sample("d", RIGHT, None, 1),
    ]
    scores = summarize_scores(samples)
    assert scores["accuracy"] == pytest.approx((1 + 0.5 + 0) / 3)
    assert scores["flexible_accuracy"] == pytest.approx((1 + 0.5 + 0.5) / 3)
    assert scores["ci95"][0] <= scores["accuracy"] <= scores["ci95"][1]
    assert scores["format"] == pytest.approx(4 / 6)
    assert scores["accuracy_given_format"] == 0.75
    assert scores["pass_at"] == {"1": pytest.approx(0.5), "2": pytest.approx(2 / 3)}
    assert scores["majority"] == pytest.approx(1 / 3)  # the first sample wins the tie of b
    assert scores["mean_length"] == 10
    assert scores["truncated"] == pytest.approx(1 / 6)
    assert (scores["n"], scores["samples"], scores["unjudged"]) == (3, 6, 2)


def test_what_cannot_be_measured_is_none_and_not_zero():
    scores = summarize_scores([make_sample("a", "1", 0.0)])
    assert scores["majority"] is None  # one sample has no majority
    assert scores["accuracy_given_format"] is None  # no sample is well-formed


def test_pass_at_k_stops_at_the_samples_that_every_question_has():
    samples = [make_sample("a", RIGHT, 1.0, index) for index in range(5)]
    samples += [make_sample("b", WRONG, 0.0, index) for index in range(3)]
    assert list(summarize_scores(samples)["pass_at"]) == ["1", "2"]


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        ([], "no completion came back"),
        ([make_sample("a", RIGHT, None)], "none of the gold answers can be scored"),
    ],
)
def test_nothing_to_score_is_an_error(samples, message):
    with pytest.raises(UserError, match=message):
        summarize_scores(samples)


def test_majority_counts_answers_and_not_spellings():
    spellings = ("3", r"\frac{1}{2}", r"$\dfrac{1}{2}$", "0.5")
    samples = []
    for index, spelling in enumerate(spellings):
        samples.append(make_sample("a", answered(spelling), float(index > 0), index))
    assert majority_vote(samples) == 1.0
    assert majority_vote([make_sample("a", "no trace", 1.0)]) == 0.0


def test_the_bootstrap_interval_is_about_two_standard_errors_wide_and_reproducible():
    values = [1.0] * 300 + [0.0] * 700
    low, high = bootstrap_interval(values, seed=1)
    error = math.sqrt(0.3 * 0.7 / 1000)
    assert low == pytest.approx(0.3 - 1.96 * error, abs=0.004)
    assert high == pytest.approx(0.3 + 1.96 * error, abs=0.004)
    assert bootstrap_interval(values, seed=1) == (low, high)


def test_a_paired_test_finds_a_small_gain_and_none_where_there_is_none():
    before = {str(n): float(n % 3 == 0) for n in range(300)}
    same = compare_paired(before, dict(before), seed=0)
    assert (same["difference"], same["p"], same["n"]) == (0.0, 1.0, 300)

    # Twenty more questions are answered correctly, and none is lost.
    gains = {str(n): 1.0 for n in range(1, 60, 3)}
    gained = compare_paired(before, before | gains, seed=0)
    assert gained["difference"] == pytest.approx(20 / 300)
    assert gained["p"] < 0.001
    assert gained["ci95"][0] > 0

    # As good as before, but on other questions.
    others = {str(n): float(n % 3 == 1) for n in range(300)}
    assert compare_paired(before, others, seed=0)["p"] > 0.5


def test_a_paired_test_compares_the_questions_that_both_models_answered():
    first = {"a": 0.0, "b": 0.0, "c": 1.0}
    second = {"b": 1.0, "c": 1.0, "d": 0.0}
    test = compare_paired(first, second, seed=0)
    assert (test["n"], test["difference"]) == (2, 0.5)
