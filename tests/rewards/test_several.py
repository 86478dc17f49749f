"""Several golds: one of them is enough, or all are needed, as the row's `answer_is` says."""

import pytest

from rewards import get_reward, needs_answer
from rewards.answers.several import best_score, describe_answers
from tests.support.commands import answered

ANY, SET, LIST = "any", "set", "list"


@pytest.mark.parametrize(
    ("golds", "answer", "paid_for"),
    [
        (["1", "2"], "1, 2", {ANY, SET, LIST}),
        (["1", "2"], "2, 1", {ANY, SET}),
        (["1", "2"], "2", {ANY}),
        (["1", "2"], "3", set()),
        (["1", "2"], "1, 3", set()),  # one of them, and another
        (["1", "2"], "1, 2, 3", set()),
        (["$2$", "$-3$"], "2, -3", {ANY, SET, LIST}),  # OlympiadBench's
        (["Paris", "Rome"], "Rome, Paris", {ANY, SET}),
        (["Paris", "Rome"], "Rome", {ANY}),
        (["10,000", "3"], "3, 10000", {ANY, SET}),  # the comma of thousands divides nothing
        (["10,000", "3"], "10000", {ANY}),
        (["(1,2)", "(3,4)"], "(3,4), (1,2)", {ANY, SET}),
        (["10,000"], "10000", {ANY, SET, LIST}),  # a list of one
    ],
)
@pytest.mark.parametrize("answer_is", [ANY, SET, LIST])
def test_accuracy_compares_with_several_golds(golds, answer, paid_for, answer_is):
    score = get_reward("accuracy")(answered(answer), answer=golds, answer_is=answer_is)
    assert score == float(answer_is in paid_for)


def test_without_a_word_about_it_all_answers_are_needed():
    assert get_reward("accuracy")(answered("1"), answer=["1", "2"]) == 0.0
    assert get_reward("accuracy")(answered("2, 1"), answer=["1", "2"]) == 1.0


@pytest.mark.parametrize(
    ("golds", "answer", "paid_for"),
    [
        (["a b", "c"], "a  b, c", {ANY, SET, LIST}),
        (["a b", "c"], "c,a b", {ANY, SET}),
        (["a b", "c"], "c", {ANY}),
        (["a, b", "c"], "a, b", {ANY}),  # an answer with a comma
        (["a b", "c"], "a b, c, d", set()),
        (["['a']"], "['a']", {ANY, SET, LIST}),
        (["a"], "['a']", set()),  # Python's way to write it
    ],
)
@pytest.mark.parametrize("answer_is", [ANY, SET, LIST])
def test_exact_compares_with_several_golds(golds, answer, paid_for, answer_is):
    score = get_reward("exact")(answered(answer), answer=golds, answer_is=answer_is)
    assert score == float(answer_is in paid_for)


def test_a_choice_names_one_letter_of_several():
    choice = get_reward("choice")
    assert choice(answered("B"), answer=["A", "B"], answer_is=ANY) == 1.0
    assert choice(answered("C"), answer=["A", "B"], answer_is=ANY) == 0.0
    assert choice(answered("B"), answer=["A", "B"], answer_is=SET) is None  # no one can name two
    assert choice(answered("B"), answer=["B"], answer_is=SET) == 1.0


@pytest.mark.parametrize(
    ("scores", "best"),
    [([0.0, 1.0], 1.0), ([None, 1.0], 1.0), ([0.0, 0.0], 0.0), ([None, 0.0], None), ([], None)],
)
def test_a_wrong_answer_is_undecided_if_a_gold_cannot_be_read(scores, best):
    assert best_score(scores) == best


@pytest.mark.parametrize(
    ("answer", "answer_is", "words"),
    [
        ("72", None, "72"),
        (["a", "b"], ANY, "a or b"),
        (["a", "b"], SET, "a, b"),
        (["a", "b"], LIST, "a, b (in this order)"),
    ],
)
def test_a_judge_reads_several_golds_in_words(answer, answer_is, words):
    assert describe_answers(answer, answer_is) == words


@pytest.mark.parametrize(
    ("name", "parameters", "needed"),
    [
        ("accuracy", {}, True),
        ("exact", {}, True),
        ("choice", {}, True),
        ("countdown", {}, True),
        ("cosine", {"max_tokens": 9}, True),  # by its correctness reward
        ("cosine", {"max_tokens": 9, "correctness_reward": "format"}, False),
        ("length_group", {}, True),
        ("code", {"unprotected": True}, False),
        ("format", {}, False),
        ("overlong", {"max_tokens": 9, "cache_tokens": 1}, False),
        ("random", {}, False),
    ],
)
def test_a_reward_says_whether_it_needs_golds(name, parameters, needed):
    assert needs_answer(get_reward({"name": name, **parameters})) is needed


def takes_an_answer(completion, answer, **row):
    return 1.0


def may_take_an_answer(completion, answer=None, **row):
    return 1.0


def in_trls_form(completions, answer, **columns):
    return [1.0] * len(completions)


@pytest.mark.parametrize(
    ("reward", "needed"),
    [(takes_an_answer, True), (may_take_an_answer, False), (in_trls_form, False)],
)
def test_a_function_needs_golds_if_it_cannot_be_called_without(reward, needed):
    assert needs_answer(reward) is needed
