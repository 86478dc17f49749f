"""Which generations become targets."""

import pytest

from recipes.core.distillation.select_traces import TraceArguments, require_traces, select_traces
from recipes.core.errors import UserError

LONG = "Natalia sold clips to 48 of her friends in April and then half as many clips in May how many altogether"


def generation(key, think="so it is", answer="1", sample=0, **changes):
    completion = f"<think>{think}</think><answer>{answer}</answer>"
    return {"question_id": key, "sample_index": sample, "question": f"question {key}", "completion": completion, "tokens": len(think),
            "finished": True, "correct": 1.0, "format": 1.0} | changes  # fmt: skip


def kept(rows, held_out=(), **keys):
    chosen, funnel = select_traces(rows, TraceArguments(**keys), held_out, seed=1)
    assert funnel["kept"] == len(chosen) and list(funnel.values()) == sorted(
        funnel.values(), reverse=True
    )
    return [(row["question_id"], row["sample_index"]) for row in chosen], funnel


def test_each_step_of_the_funnel_takes_out_what_it_is_for():
    rows = [
        generation("a"),
        generation("b", finished=False),  # cut off
        generation("c", correct=0.0),  # wrong
        generation("d", correct=None),  # cannot be judged
        generation("e", format=0.0),  # not a trace
        generation("f", think="a very long way round"),
        generation("g", think="so " * 20, tokens=20),
        generation("h", think="\u6240\u4ee5\u7b54\u6848\u662f"),
        generation("i", question=f"{LONG}?"),
        generation("a", think="So it  is", sample=1),  # the same but for case and space
    ]
    traces, funnel = kept(rows, [LONG.upper()], max_trace_tokens=16 + 7, trace_language="en")
    assert traces == [("a", 0), ("f", 0)]
    assert funnel == {"generated": 10, "finished": 9, "right": 7, "well_formed": 6, "short_enough": 6, "not_repetitive": 5,
                      "in_language": 4, "not_held_out": 3, "unique": 2, "chosen": 2, "kept": 2}  # fmt: skip
    assert kept(rows, max_trace_tokens=10)[1]["short_enough"] == 4


def test_thirteen_words_in_a_row_are_contamination_and_twelve_are_not():
    words = LONG.split()
    for count, left in ((13, 0), (12, 1)):
        assert (
            len(
                kept(
                    [generation("a", question=" ".join(["Well,", *words[:count], "or not?"]))],
                    [LONG],
                )[0]
            )
            == left
        )
    assert len(kept([generation("a", question="23*7+5")], ["23*7+5"])[0]) == 0
    assert len(kept([generation("a", question="23*7+5")], ["23*7+6"])[0]) == 1


@pytest.mark.parametrize(
    ("choice", "chosen"),
    [
        ("first", [0, 1]),
        ("shortest", [3, 0]),
        ("diverse", [0, 2]),  # the one least like the first
    ],
)
def test_at_most_k_traces_a_question_are_chosen_by_key(choice, chosen):
    thinking = ["one two three four five six seven eight", "one two three four five six seven ten eleven twelve",
                "quite another way to come to the very same result", "short one"]  # fmt: skip
    rows = [generation("a", think, sample=n) for n, think in enumerate(thinking)]
    assert kept(rows, max_traces=2, trace_choice=choice)[0] == [("a", n) for n in chosen]
    assert len(kept(rows, trace_choice=choice)[0]) == 4


def test_a_random_choice_is_the_same_each_time():
    rows = [generation("a", f"way {n} of {n * n}", sample=n) for n in range(20)]
    first = kept(rows, max_traces=3, trace_choice="random")[0]
    assert first == kept(rows, max_traces=3, trace_choice="random")[0]
    assert len(set(first)) == 3


@pytest.mark.parametrize(
    ("share", "short", "long"), [(0.8, 5, 1), (0.5, 5, 5), (1.0, 5, 0), (0.0, 0, 5)]
)
def test_short_and_long_traces_are_mixed_as_asked_and_as_many_as_can_be(share, short, long):
    rows = [generation(str(n), tokens=10 + n) for n in range(10)]
    traces, funnel = kept(rows, short_fraction=share)
    places = [int(key) for key, _ in traces]
    assert places == sorted(places) and funnel["chosen"] == 10
    assert (sum(n < 5 for n in places), sum(n >= 5 for n in places)) == (short, long)
    assert kept(rows, short_fraction=share)[0] == traces


def test_what_cannot_be_chosen_is_refused():
    with pytest.raises(ValueError, match="write one of first, shortest, random, diverse"):
        TraceArguments(trace_choice="best")
    with pytest.raises(ValueError, match="write a number from 0 to 1"):
        TraceArguments(short_fraction=4)
    with pytest.raises(ValueError, match="write 1 or more"):
        TraceArguments(max_traces=0)
    with pytest.raises(UserError, match=r"no sample can be kept \(2 generated, 0 finished"):
        require_traces(
            "file", select_traces([generation("a", finished=False)] * 2, TraceArguments(), [], 0)[1]
        )
