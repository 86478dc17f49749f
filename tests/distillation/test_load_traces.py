"""What SFT learns: the traces of the run, or whatever dataset is named, whole or refused."""

import json

import pytest
from datasets import Dataset

from recipes.core.distillation import TraceDatasetArguments, load_traces
from recipes.core.distillation.sft_rows import count_tokens
from recipes.core.errors import UserError
from recipes.core.files import replace_jsonl
from recipes.core.prompts import load_tokenizer
from tests.support.commands import ROOT

USER = {"role": "user", "content": "1+1"}
REPLY = {"role": "assistant", "content": "2"}
PAIR = {"prompt": [USER], "completion": [REPLY]}
OWN = {"prompt": [USER], "completion": "2"}  # as `generate` writes them
TOOL = {"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}


def save(file, rows):
    """Saves rows in the format that the file's name tells; returns its path as a text."""
    if file.suffix == ".json":
        file.write_text(json.dumps(rows))
    elif file.suffix == ".parquet":
        Dataset.from_list(rows).to_parquet(file)
    else:
        replace_jsonl(file, rows)
    return str(file)


def load(folder, rows, **keys):
    """The rows that a dataset of `rows` gives."""
    name = save(folder / "data.jsonl", rows)
    return load_traces(TraceDatasetArguments(dataset_name=name, **keys), folder).rows.to_list()


# The traces of the run.


def test_the_traces_of_the_run_are_prompts_and_completions(tmp_path):
    rows = [OWN | {"completion": str(n), "correct": 1.0} for n in range(5)]
    replace_jsonl(tmp_path / "traces.jsonl", rows)
    source, traces, _ = load_traces(TraceDatasetArguments(max_train_samples=2), tmp_path)
    assert source == str(tmp_path / "traces.jsonl")
    assert [row["completion"][0]["content"] for row in traces] == ["0", "1"]
    assert traces[0] == {
        "prompt": [USER],
        "completion": [{"role": "assistant", "content": "0"}],
    }


@pytest.mark.parametrize("name", ["others.jsonl", "others.json", "others.parquet"])
def test_traces_in_any_kind_of_file_can_be_named(tmp_path, name):
    args = TraceDatasetArguments(traces=save(tmp_path / name, [OWN] * 3))
    assert load_traces(args, tmp_path / "run").rows.to_list() == [PAIR] * 3


def test_traces_of_texts_are_learnt_as_texts(tmp_path):
    rows = [{"prompt": "1+1=", "completion": "2"}]
    args = TraceDatasetArguments(traces=save(tmp_path / "others.jsonl", rows))
    assert load_traces(args, tmp_path).rows.to_list() == rows


def test_a_last_line_without_a_break_is_whole_unless_a_kill_tore_a_file_of_ours(tmp_path):
    file = tmp_path / "traces.jsonl"
    file.write_text("\n".join([json.dumps(OWN)] * 3))
    assert len(load_traces(TraceDatasetArguments(), tmp_path).rows) == 3
    (tmp_path / "traces.manifest.json").write_text("{}")  # `generate` leaves one
    assert len(load_traces(TraceDatasetArguments(), tmp_path).rows) == 2


def test_missing_or_empty_traces_are_one_clear_line(tmp_path):
    with pytest.raises(UserError, match=r"no file .*traces\.jsonl'; run recipes/generate\.py"):
        load_traces(TraceDatasetArguments(), tmp_path)
    (tmp_path / "traces.jsonl").touch()
    with pytest.raises(UserError, match="is empty"):
        load_traces(TraceDatasetArguments(), tmp_path)
    (tmp_path / "traces.manifest.json").write_text("{}")
    with pytest.raises(UserError, match="has no rows"):
        load_traces(TraceDatasetArguments(), tmp_path)


# Datasets.


@pytest.mark.parametrize(
    ("row", "keys"),
    [
        ({"prompt": "1+1=", "completion": "2"}, {}),
        (PAIR, {}),
        ({"messages": [USER, REPLY, USER, REPLY]}, {}),  # several turns
        ({"messages": [USER, REPLY], "tools": [TOOL]}, {}),
        ({"messages": [USER, REPLY], "tools": json.dumps([TOOL])}, {}),  # TRL takes JSON, too
        (PAIR | {"tools": [TOOL], "chat_template_kwargs": {"enable_thinking": False}}, {}),
        ({"text": "1+1=2"}, {}),
        ({"essay": "1+1=2"}, {"dataset_text_field": "essay"}),
        ({"input_ids": [1, 2], "labels": [-100, 2]}, {}),
    ],
)
def test_rows_of_trls_forms_are_handed_on_unchanged(tmp_path, row, keys):
    assert load(tmp_path, [row] * 2, **keys) == [row] * 2


def test_columns_that_are_not_learnt_from_do_not_hide_those_that_are(tmp_path):
    # As in HuggingFaceH4/ultrachat_200k, of whose `prompt` TRL would want a `completion`.
    row = {"prompt": "1+1", "messages": [USER, REPLY], "problem": "1+1", "level": 1}
    assert load(tmp_path, [row]) == [{"messages": [USER, REPLY]}]
    assert load(tmp_path, [PAIR | {"level": 1}]) == [PAIR]


def test_rows_without_options_for_the_template_may_be_among_others(tmp_path):
    options = {"chat_template_kwargs": {"enable_thinking": False}}
    rows = load(tmp_path, [PAIR | options, PAIR])
    assert rows[1]["chat_template_kwargs"] == {"enable_thinking": None}


@pytest.mark.parametrize(
    "row",
    [
        {"instruction": "Add", "input": "1 1", "output": "2"},  # Alpaca
        {"conversations": [{"from": "human", "value": "1+1"}, {"from": "gpt", "value": "2"}]},
        {"question": "1+1", "answer": "2"},  # questions, which the traces of a run may answer
        {"prompt": "1+1", "answer": "2"},
    ],
)
def test_other_columns_are_refused_with_their_names(tmp_path, row):
    save(tmp_path / "traces.jsonl", [OWN])  # left by an earlier run, and not learnt instead
    columns = ", ".join(row)
    with pytest.raises(UserError, match=rf"has the columns {columns}; sft learns `messages`"):
        load(tmp_path, [row])


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ({"messages": "1+1"}, "row 2: 'messages' is \"1\\+1\"; write messages"),
        ({"messages": []}, "row 2: 'messages' is \\[\\]; write messages"),
        ({"messages": None}, "row 2: 'messages' is null; write messages"),
        ({"messages": [{"from": "human", "value": "1+1"}]}, "row 2: 'messages' is .*from"),
        ({"prompt": "1+1", "completion": None}, "row 2: 'completion' is null; write a text or"),
        ({"prompt": "1+1", "completion": [REPLY]}, "row 2: 'prompt' is a text and 'compl"),
        ({"text": None}, "row 2: 'text' is null; write a text"),
        ({"text": 7}, "row 2: 'text' is 7; write a text"),
        ({"messages": [USER, REPLY], "tools": "add"}, "row 2: 'tools' is \"add\"; write a list"),
    ],
)
def test_a_row_that_cannot_be_learnt_is_named(tmp_path, row, problem):
    whole = {
        "messages": {"messages": [USER, REPLY]},
        "prompt": {"prompt": "one", "completion": "two"},
        "text": {"text": "one"},
    }[next(iter(row))]
    with pytest.raises(UserError, match=problem) as error:
        load(tmp_path, [whole, row])
    assert "\n" not in str(error.value)


def test_a_dataset_and_traces_at_once_are_refused(tmp_path):
    args = TraceDatasetArguments(dataset_name="a.jsonl", traces="b.jsonl")
    with pytest.raises(UserError, match="write one of them"):
        load_traces(args, tmp_path)


def test_the_test_split_is_read_if_the_loss_is_measured_on_it(tmp_path):
    save(tmp_path / "train.jsonl", [PAIR] * 3)
    save(tmp_path / "test.jsonl", [PAIR] * 2)
    name = str(tmp_path)
    measured = TraceDatasetArguments(dataset_name=name, eval_strategy="steps")
    assert len(load_traces(measured, tmp_path).eval_rows) == 2
    for keys in ({"eval_strategy": "no"}, {"eval_strategy": "steps", "held_out_traces": 0.1}):
        args = TraceDatasetArguments(dataset_name=name, **keys)
        assert load_traces(args, tmp_path).eval_rows is None


def test_a_test_split_that_is_missing_is_refused_only_if_it_is_named(tmp_path):
    name = save(tmp_path / "data.jsonl", [PAIR] * 3)
    args = TraceDatasetArguments(dataset_name=name, eval_strategy="steps")
    assert load_traces(args, tmp_path).eval_rows is None
    args.dataset_test_split = "dev"
    with pytest.raises(UserError, match="there is no split 'dev'"):
        load_traces(args, tmp_path)


# Lengths.


def test_tools_and_options_of_the_template_are_counted():
    template = (
        "{% for m in messages %}{{ m.content }}{% endfor %}"
        "{% if tools %}{{ tools[0].n }}{% endif %}{{ extra }}"
    )
    tokenizer = load_tokenizer(ROOT / "recipes/arithmetic/models/base", template)
    row = {"messages": [USER, REPLY]}
    assert count_tokens(row, tokenizer) == 4
    assert count_tokens(row | {"tools": [{"n": "12"}]}, tokenizer) == 6
    assert count_tokens(row | {"tools": '[{"n": "12"}]'}, tokenizer) == 6
    assert count_tokens(row | {"chat_template_kwargs": {"extra": "345"}}, tokenizer) == 7
    assert count_tokens({"text": "1+1"}, tokenizer) == 4  # TRL adds the end of sequence,
    assert count_tokens({"text": "1+1<eos>"}, tokenizer) == 4  # unless it is there
