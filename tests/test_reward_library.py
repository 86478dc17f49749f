"""The rewards beside the verdict: their formulas, and what cannot fool them."""

import pytest

from rewards import build
from rewards.choice import Choice
from rewards.countdown import Countdown
from rewards.exact import Exact
from rewards.overlong import Overlong
from rewards.repetition import Repetition
from tests.conftest import answered


@pytest.mark.parametrize(
    ("answer", "score"),
    [
        ("(44-19)*35", 1.0),  # each number once
        ("35 * (44 - 19)", 1.0),
        ("44-19*35", 0.0),  # another value
        ("(44-19)*35+0", 0.0),  # a number that is not given
        ("(44-19)*(35+44-44)", 0.0),  # a number used too often
        ("875", 0.0),  # the target is not an expression of the numbers
        ("(44-19)*35=875", 0.0),  # an equation
        ("44**19**35", 0.0),  # TinyZero's eval hangs on it
        ("(44-19)*35/(35-35)", 0.0),  # division by zero
        ("(44-19)*35.0", 0.0),  # not a whole number
        ("44//19", 0.0),  # another operator
        ("-19+44", 0.0),  # a sign is no operator between numbers
        ("__import__('os')", 0.0),  # code
        ("(" * 5000 + "44", 0.0),  # deep nesting
        ("((44-19)*35", 0.0),  # an open bracket
    ],
)
def test_countdown_pays_only_expressions_of_the_given_numbers_that_reach_the_target(answer, score):
    assert Countdown()(completion=answered(answer), answer="875", nums=[44, 19, 35]) == score


def test_countdown_does_not_take_digits_or_halves_for_numbers():
    assert Countdown()(completion=answered("1.5*4"), answer="6", nums=[1, 5, 4]) == 0.0  # TinyZero pays it
    assert Countdown()(completion=answered("9//2+3"), answer="7", nums=[9, 2, 3]) == 0.0  # and this
    assert Countdown()(completion=answered("1/3*3"), answer="1", nums=[1, 3, 3]) == 1.0  # exact rationals
    assert Countdown()(completion=answered("1+2"), answer="three", nums=[1, 2]) is None
    assert Countdown()(completion=answered("1+2"), answer="3", nums=None) is None


@pytest.mark.parametrize(
    ("gold", "answer", "score"),
    [
        ("B", "B", 1.0),
        ("B", "b", 1.0),
        ("B", "(B)", 1.0),
        ("(B)", "B.", 1.0),
        ("B", "B) Paris", 1.0),
        ("B", r"\boxed{B}", 1.0),
        ("B", r"\boxed{\text{B}}", 1.0),
        ("B", "A", 0.0),
        ("A", "A or B", 0.0),  # hedging
        ("A", "A cat", 0.0),  # an article
        ("A", "AB", 0.0),
        ("A", "", 0.0),
        ("Paris", "A", None),  # the gold is not a letter
    ],
)
def test_choice_reads_one_letter(gold, answer, score):
    assert Choice()(completion=answered(answer), answer=gold) == score


def test_exact_compares_texts_and_nothing_else():
    assert Exact()(completion=answered("New  York\n"), answer="New York") == 1.0
    assert Exact()(completion=answered("new york"), answer="New York") == 0.0
    assert Exact(ignore_case=True)(completion=answered("new york"), answer="New York") == 1.0
    assert Exact()(completion=answered("0.50"), answer="0.5") == 0.0
    assert Exact()(completion="0.5", answer="0.5") == 0.0  # no answer block
    assert Exact()(completion=answered("x"), answer=" ") is None


def test_overlong_is_dapos_equation_13():
    reward = Overlong(max_tokens=100, cache_tokens=20)
    assert [reward(completion="", completion_ids=[0] * n) for n in (0, 80, 85, 90, 100, 1000)] == [0, 0, -0.25, -0.5, -1, -1]


def test_overlong_is_trls_soft_overlong_punishment():
    from trl.rewards import get_soft_overlong_punishment

    ids = [[0] * n for n in (0, 79, 80, 81, 99, 100, 101, 300)]
    ours, _ = build([{"name": "overlong", "max_tokens": 100, "cache_tokens": 20}])
    theirs = get_soft_overlong_punishment(max_completion_len=100, soft_punish_cache=20)
    assert ours[0](completions=[""] * 8, completion_ids=ids) == pytest.approx(theirs(completion_ids=ids))


def test_repetition_is_minus_the_share_of_repeated_ngrams():
    reward = Repetition(ngram_words=2)
    assert reward(completion="a b c d") == 0.0
    assert reward(completion="a b a b") == pytest.approx(2 / 3 - 1)  # ab ba ab
    assert reward(completion="A a " * 50) == pytest.approx(1 / 99 - 1)
    assert reward(completion="") == reward(completion="a") == 0.0
