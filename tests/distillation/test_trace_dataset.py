"""Traces that SFT learns: none is cut, none is edited, and questions are held out whole."""

from types import SimpleNamespace

import pytest
from datasets import Dataset

from recipes.core.distillation.sft_rows import count_tokens
from recipes.core.distillation.trace_dataset import (
    check_first_target,
    drop_long_traces,
    longest_traces_first,
    split_by_question,
)
from recipes.core.errors import UserError
from recipes.core.prompts import load_tokenizer
from tests.support.commands import ROOT

SHIPPED = ROOT / "recipes/arithmetic/models/base"
TRACE = "<think>1</think><answer>2</answer>"  # of characters that the shipped tokenizer knows
OTHER_TRACE = "<think>1</think><answer>7</answer>"


@pytest.fixture(scope="module")
def tokenizer():
    return load_tokenizer(SHIPPED)


def trace(text, question="23*7+5"):
    return {
        "prompt": [{"role": "user", "content": question}],
        "completion": [{"role": "assistant", "content": text}],
    }


# Lengths.


def test_a_trace_that_does_not_fit_is_left_out_whole(tokenizer, caplog):
    short = trace(TRACE)
    long = trace(f"<think>{'1' * 90}</think><answer>2</answer>")
    kept = drop_long_traces(Dataset.from_list([short, long]), tokenizer, 80)
    assert kept.to_list() == [short | {"trace_tokens": 14}]
    assert "1 of 2 traces are longer than 80 tokens (longest 103)" in caplog.text
    assert len(drop_long_traces(Dataset.from_list([short, long]), tokenizer, 103)) == 2
    assert len(drop_long_traces(Dataset.from_list([short, long]), tokenizer, None)) == 2
    with pytest.raises(UserError, match="all 1 traces are longer than 80 tokens"):
        drop_long_traces(Dataset.from_list([long]), tokenizer, 80)


def test_messages_and_plain_text_are_counted_as_trl_tokenises_them(tokenizer):
    text = f"23*7+5={TRACE}"
    with_end = len(tokenizer(text + tokenizer.eos_token)["input_ids"])
    assert count_tokens(trace(TRACE), tokenizer) == with_end
    assert count_tokens({"prompt": "23*7+5=", "completion": TRACE}, tokenizer) == with_end


def sft_config(**changes):
    values = {
        "packing": False,
        "train_sampling_strategy": "sequential",
        "per_device_train_batch_size": 2,
        "world_size": 1,
        "gradient_accumulation_steps": 2,
    }
    return SimpleNamespace(**values | changes)


def test_the_longest_traces_fill_the_first_step():
    traces = Dataset.from_dict({"trace_tokens": [5, 9, 1, 8, 7, 2, 6, 3]})
    ordered = longest_traces_first(traces, sft_config())
    assert list(ordered["trace_tokens"])[:4] == [9, 8, 7, 6]


def test_packed_rows_are_all_full_and_keep_their_order():
    traces = Dataset.from_dict({"trace_tokens": [5, 9, 1]})
    assert longest_traces_first(traces, sft_config(packing=True)) is traces


def test_an_order_that_is_not_known_in_advance_is_refused():
    traces = Dataset.from_dict({"trace_tokens": [5, 9, 1]})
    with pytest.raises(UserError, match="batch_rebalance or sequential, not random"):
        longest_traces_first(traces, sft_config(train_sampling_strategy="random"))


# Targets.


def check(row, traces, tokenizer):
    """Checks the first row of a tokenised dataset, as a trainer has it."""
    trainer = SimpleNamespace(train_dataset=[row], completion_only_loss=True)
    check_first_target(trainer, traces, tokenizer)


def tokenize(tokenizer):
    """The tokens of the question `23*7+5=` and of its trace with the end of the turn."""
    question = tokenizer("23*7+5=")["input_ids"]
    target = tokenizer(f"{TRACE}<eos>")["input_ids"]
    return question, target


def test_a_target_that_is_the_trace_and_the_end_of_the_turn_is_accepted(tokenizer):
    question, target = tokenize(tokenizer)
    labels = [-100] * len(question) + target
    check({"labels": labels}, [trace(TRACE)], tokenizer)


def test_a_packed_row_may_begin_with_any_trace(tokenizer):
    _, target = tokenize(tokenizer)
    row = {"labels": [*target, -100, 5], "seq_lengths": [len(target), 2]}
    check(row, [trace(OTHER_TRACE), trace(TRACE)], tokenizer)
    with pytest.raises(UserError, match="chat_template"):
        check(row, [trace(OTHER_TRACE)], tokenizer)


def test_a_row_that_is_not_packed_must_be_the_first_trace(tokenizer):
    _, target = tokenize(tokenizer)
    with pytest.raises(UserError, match="chat_template"):
        check({"labels": target}, [trace(OTHER_TRACE), trace(TRACE)], tokenizer)


@pytest.mark.parametrize("damage", ["a token is missing", "no end of the turn", "the question too"])
def test_a_template_that_edits_traces_is_refused(tokenizer, damage):
    question, target = tokenize(tokenizer)
    labels = {
        "a token is missing": target[1:],
        "no end of the turn": target[:-1],
        "the question too": question + target,
    }[damage]
    with pytest.raises(UserError, match=r"write `chat_template: r1_zero\.jinja`"):
        check({"labels": labels}, [trace(TRACE)], tokenizer)


def test_a_think_tag_that_the_prompt_ends_with_belongs_to_the_trace(tokenizer):
    target = tokenizer(f"{TRACE}<eos>".removeprefix("<think>"))["input_ids"]
    row = {"prompt": "23*7+5=<think>\n", "completion": TRACE}
    check({"labels": target}, [row], tokenizer)


# Held-out questions.


def fifty_questions():
    """Four traces of each of fifty questions."""
    return [trace("a", question=str(n % 50)) for n in range(200)]


def asked(traces):
    return {row["prompt"][0]["content"] for row in traces}


def test_the_traces_of_a_question_are_held_out_together():
    learned, held_out = split_by_question(Dataset.from_list(fifty_questions()), 0.1)
    assert (len(learned), len(held_out)) == (180, 20)
    assert len(asked(held_out)) == 5
    assert not asked(learned) & asked(held_out)


def test_the_order_of_the_traces_does_not_decide_which_questions_are_held_out():
    rows = fifty_questions()
    _, held_out = split_by_question(Dataset.from_list(rows), 0.1)
    _, again = split_by_question(Dataset.from_list(rows[::-1]), 0.1)
    assert asked(again) == asked(held_out)


@pytest.mark.parametrize(("fraction", "count"), [(0.001, 1), (0.999, 49)])
def test_at_least_one_question_is_on_either_side(fraction, count):
    _, held_out = split_by_question(Dataset.from_list(fifty_questions()), fraction)
    assert len(asked(held_out)) == count


def test_nothing_is_held_out_if_the_fraction_is_zero_or_there_is_one_question():
    traces = Dataset.from_list(fifty_questions())
    assert split_by_question(traces, 0.0) == (traces, None)
    one = traces.select([0])
    assert split_by_question(one, 0.5) == (one, None)


def test_a_fraction_that_leaves_nothing_to_learn_is_refused():
    with pytest.raises(UserError, match=r"held_out_traces is 1\.0; write a fraction"):
        split_by_question(Dataset.from_list(fifty_questions()), 1.0)
