"""A gold of any type becomes the text that its file has; nothing is guessed, nothing lost."""

import math
from datetime import date, datetime, time
from decimal import Decimal

import pytest

from recipes.core.data.golds import keep_exact, read_gold, unify_golds


@pytest.mark.parametrize(
    ("value", "gold"),
    [
        (" NA ", "NA"),  # a text, and not a missing value
        ("null", "null"),
        ("007", "007"),
        ("None", "None"),
        (0, "0"),
        (-3, "-3"),
        (10**30, str(10**30)),  # beyond 64 bits
        (0.0, "0.0"),
        (2.5, "2.5"),
        (1e-7, "0.0000001"),  # not Python's 1e-07
        (1e22, "10000000000000000000000"),
        (True, "true"),  # as JSON writes it, not True
        (False, "false"),
        (Decimal("0.10"), "0.10"),
        (date(2024, 5, 1), "2024-05-01"),
        (datetime(2024, 5, 1), "2024-05-01"),  # a date, of which a reader has made a time
        (datetime(2024, 5, 1, 10), "2024-05-01T10:00:00"),
        (time(10, 30), "10:30:00"),
        ("é".encode(), "é"),
        (["$2$", 3, None, False], ["$2$", "3", "false"]),
        (([1, 2], [3]), ["[1, 2]", "[3]"]),  # a list in a list
        (None, None),
        ("", None),
        ("  ", None),
        (math.nan, None),  # pandas' missing number
        ([], None),
        ([None, ""], None),
    ],
)
def test_a_gold_is_the_text_of_its_file(value, gold):
    assert read_gold(value) == gold


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"value": 7, "unit": "m"}, "a mapping with the keys value, unit"),
        ([{"value": 7}], "a mapping with the keys value"),
        ({1, 2}, "a value of the type set"),
    ],
)
def test_what_is_no_answer_says_what_it_is(value, message):
    with pytest.raises(ValueError, match=message):
        read_gold(value)


@pytest.mark.parametrize(
    ("golds", "unified"),
    [
        (["a", None], ["a", None]),
        ([["a"], None, ["b"]], ["a", None, "b"]),  # lists of one are texts
        ([["a"], None, ["b", "c"]], [["a"], None, ["b", "c"]]),
        (["a", ["b", "c"]], [["a"], ["b", "c"]]),
    ],
)
def test_the_golds_of_a_column_have_one_type(golds, unified):
    assert unify_golds(golds) == unified


@pytest.mark.parametrize(
    ("values", "exact"),
    [
        ([1, 0, None], [1, 0, None]),  # a column of integers keeps them
        ([0.5, 1.0], [0.5, 1.0]),
        ([1, 2.5], ["1", "2.5"]),  # it would make 1.0 of the 1
        ([1, True], ["1", "true"]),  # 1 == True
        (["007", 7], ["007", "7"]),
        ([2**63], [str(2**63)]),
        ([[1, 2.5], [3]], [["1", "2.5"], ["3"]]),
        (["5", ["5", "6"]], [["5"], ["5", "6"]]),
        ([1, {"value": 2}], [1, {"value": 2}]),  # refused later, with its row
    ],
)
def test_values_stay_unless_a_column_would_change_them(values, exact):
    kept = keep_exact(values)
    assert kept == exact
    assert [type(value) for value in kept] == [type(value) for value in exact]
