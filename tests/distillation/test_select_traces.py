"""Only good samples become traces, no two of a question alike, and the funnel counts each step."""

import pytest

from recipes.core.distillation.select_traces import TraceArguments, require_traces, select_traces
from recipes.core.errors import UserError

SEED = 1
HELD_OUT = (
    "Natalia sold clips to 48 of her friends in April and then half as many clips in May "
    "how many altogether"
)


def sample(question_id, thinking="so it is", index=0, **changes):
    """A good sample, whose length in tokens is that of its thinking, except for `changes`."""
    row = {
        "question_id": question_id,
        "sample_index": index,
        "question": f"question {question_id}",
        "completion": f"<think>{thinking}</think><answer>1</answer>",
        "tokens": len(thinking),
        "finished": True,
        "correct": 1.0,
        "format": 1.0,
    }
    return row | changes


def select(rows, held_out=(), **keys):
    """Who is selected, as (question_id, sample_index), and the funnel."""
    traces, funnel = select_traces(rows, TraceArguments(**keys), held_out, SEED)
    counts = list(funnel.values())
    assert counts == sorted(counts, reverse=True)
    assert funnel["kept"] == len(traces)
    return [(row["question_id"], row["sample_index"]) for row in traces], funnel


def test_each_step_of_the_funnel_removes_one_kind_of_sample():
    rows = [
        sample("a"),
        sample("b", finished=False),  # truncated
        sample("c", correct=0.0),  # wrong
        sample("d", correct=None),  # cannot be scored
        sample("e", format=0.0),  # not of the form of a trace
        sample("f", "a very long way round"),
        sample("g", "so " * 20, tokens=20),  # repetitive
        sample("h", "\u6240\u4ee5\u7b54\u6848\u662f"),  # Chinese
        sample("i", question=f"{HELD_OUT}?"),
        sample("a", "So it  is", index=1),  # the same but for case and spaces
    ]
    traces, funnel = select(rows, [HELD_OUT.upper()], max_trace_tokens=23, trace_language="en")
    assert traces == [("a", 0), ("f", 0)]
    assert funnel == {
        "generated": 10,
        "finished": 9,
        "right": 7,
        "well_formed": 6,
        "short_enough": 6,
        "not_repetitive": 5,
        "in_language": 4,
        "not_held_out": 3,
        "unique": 2,
        "chosen": 2,
        "kept": 2,
    }


def test_the_limit_of_tokens_is_inclusive():
    rows = [sample("a", tokens=10), sample("b", tokens=11)]
    assert select(rows, max_trace_tokens=10)[0] == [("a", 0)]
    assert select(rows)[1]["short_enough"] == 2


@pytest.mark.parametrize(
    ("second", "kept"),
    [
        ("one two three four five six seven eight", 1),  # the same
        ("one two three four five six seven eight nine", 1),  # 4 of 5 n-grams in common
        ("one two three four five six seven nine", 2),  # 3 of 5
        ("zero two three four five six seven eight", 2),  # the same at the other end
    ],
)
def test_a_near_duplicate_of_an_earlier_sample_is_removed(second, kept):
    first = "one two three four five six seven eight"
    rows = [sample("a", first, completion=first), sample("a", second, 1, completion=second)]
    assert select(rows)[1]["unique"] == kept
    rows[1]["question_id"] = "b"  # samples of different questions are not compared
    assert select(rows)[1]["unique"] == 2


@pytest.mark.parametrize(
    ("choice", "chosen"),
    [
        ("first", [0, 1]),
        ("shortest", [3, 0]),
        ("diverse", [0, 2]),  # the one least like the first
    ],
)
def test_at_most_max_traces_of_a_question_are_chosen(choice, chosen):
    thinking = [
        "one two three four five six seven eight",
        "one two three four five six seven ten eleven twelve",
        "quite another way to come to the very same result",
        "short one",
    ]
    rows = [sample("a", text, index) for index, text in enumerate(thinking)]
    traces, _ = select(rows, max_traces=2, trace_choice=choice)
    assert traces == [("a", index) for index in chosen]
    assert len(select(rows, trace_choice=choice)[0]) == 4


def test_a_diverse_choice_is_far_from_all_that_were_chosen_before():
    texts = [
        "a b c d e f g h",
        "a b c d e f x y",  # near the first
        "p q r s t u v w",  # unlike the first
        "p q r s t u x y",  # near the third
        "k l m n o p q r",  # unlike all of them
    ]
    rows = [sample("a", index=n, completion=text) for n, text in enumerate(texts)]
    traces, _ = select(rows, max_traces=3, trace_choice="diverse")
    assert traces == [("a", 0), ("a", 2), ("a", 4)]


def test_a_random_choice_is_the_same_each_time():
    rows = [sample("a", f"way {n} of {n * n}", n) for n in range(20)]
    first, _ = select(rows, max_traces=3, trace_choice="random")
    again, _ = select(rows, max_traces=3, trace_choice="random")
    assert first == again
    assert len(set(first)) == 3


@pytest.mark.parametrize(
    ("fraction", "short", "long"),
    [(0.8, 5, 1), (0.5, 5, 5), (1.0, 5, 0), (0.0, 0, 5)],
)
def test_short_and_long_traces_are_mixed_with_as_many_as_possible(fraction, short, long):
    rows = [sample(str(n), tokens=10 + n) for n in range(10)]
    traces, funnel = select(rows, short_fraction=fraction)
    places = [int(question_id) for question_id, _ in traces]
    assert places == sorted(places)
    assert sum(place < 5 for place in places) == short
    assert sum(place >= 5 for place in places) == long
    assert funnel["chosen"] == 10
    assert select(rows, short_fraction=fraction)[0] == traces


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"trace_choice": "best"}, "write one of first, shortest, random, diverse"),
        ({"short_fraction": 4}, "write a number from 0 to 1"),
        ({"max_traces": 0}, "write 1 or more"),
    ],
)
def test_keys_without_a_meaning_are_refused(keys, message):
    with pytest.raises(ValueError, match=message):
        TraceArguments(**keys)


def test_a_selection_without_a_trace_is_an_error_that_shows_the_funnel():
    rows = [sample("a", finished=False)] * 2
    _, funnel = select_traces(rows, TraceArguments(), [], SEED)
    with pytest.raises(UserError, match=r"no sample can be kept \(2 generated, 0 finished"):
        require_traces("file", funnel)
