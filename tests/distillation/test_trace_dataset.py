"""Traces that SFT learns: none is cut, none is edited, and questions are held out whole."""

from types import SimpleNamespace

import pytest

from recipes.core.distillation.trace_dataset import (
    check_first_target,
    drop_long_traces,
    split_by_question,
)
from recipes.core.errors import UserError
from recipes.core.prompts import load_tokenizer
from tests.support.commands import ROOT

SHIPPED = ROOT / "recipes/arithmetic/models/base"


def trace(text):
    return {
        "prompt": [{"role": "user", "content": "23*7+5"}],
        "completion": [{"role": "assistant", "content": text}],
    }


def test_a_trace_that_does_not_fit_is_left_out_whole(caplog):
    tokenizer = load_tokenizer(SHIPPED)
    short, long = (
        trace("<think>1</think><answer>2</answer>"),
        trace("<think>" + "1" * 90 + "</think><answer>2</answer>"),
    )
    assert drop_long_traces([short, long], tokenizer, 80).to_list() == [
        short | {"trace_tokens": 14}
    ]
    assert "1 of 2 traces are longer than 80 tokens (longest 103)" in caplog.text
    assert len(drop_long_traces([short, long], tokenizer, 103)) == 2
    with pytest.raises(UserError, match="all 1 traces are longer than 80"):
        drop_long_traces([long], tokenizer, 80)


def check(tokenized, traces, tokenizer):
    check_first_target(SimpleNamespace(train_dataset=[tokenized]), traces, tokenizer)


def test_a_template_that_edits_traces_is_refused():
    tokenizer, row = load_tokenizer(SHIPPED), trace("<think>1</think><answer>2</answer>")
    ids = tokenizer("23*7+5=<think>1</think><answer>2</answer><eos>")["input_ids"]
    check({"labels": [-100] * 7 + ids[7:]}, [row], tokenizer)
    check(
        {"labels": [*ids[7:], -100, 5], "seq_lengths": [len(ids) - 7, 2]},
        [trace("<think>"), row],
        tokenizer,
    )
    for broken in (
        ids[8:],
        ids[7:-1],
        ids,
    ):  # a token missing, no end of the turn, the question too
        with pytest.raises(UserError, match="chat_template"):
            check({"labels": broken}, [row], tokenizer)


def test_the_traces_of_a_question_are_held_out_together_and_always_the_same_ones():
    from datasets import Dataset

    rows = [trace("a") | {"prompt": [{"role": "user", "content": str(n % 50)}]} for n in range(200)]
    learnt, held_out = split_by_question(Dataset.from_list(rows), 0.1)
    assert (len(learnt), len(held_out)) == (180, 20)
    questions = {row["prompt"][0]["content"] for row in held_out}
    assert len(questions) == 5 and not questions & {row["prompt"][0]["content"] for row in learnt}
    _, again = split_by_question(Dataset.from_list(rows[::-1]), 0.1)
    assert {row["prompt"][0]["content"] for row in again} == questions
    assert split_by_question(Dataset.from_list(rows), 0.0)[1] is None
    assert (
        split_by_question(Dataset.from_list(rows[:1]), 0.5)[1] is None
    )  # one question cannot be both
    with pytest.raises(UserError, match="write a fraction"):
        split_by_question(Dataset.from_list(rows), 1.0)
