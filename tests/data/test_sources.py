"""A dataset is read from every kind of source; one that cannot be read is one clear line."""

import json

import pytest
from datasets import Dataset, DatasetDict

from recipes.core.data.questions import DataArguments
from recipes.core.data.sources import load_split
from recipes.core.errors import UserError
from tests.support.commands import ROOT

ROWS = [{"question": f"{n}+{n}?", "answer": str(2 * n), "level": n} for n in range(1, 6)]


def five_questions():
    """A dataset as a function, which a test names by its address."""
    return DatasetDict({"train": Dataset.from_list(ROWS)})


def save(folder, kind):
    """Writes the rows in one kind of source, and returns its `dataset_name`."""
    dataset = Dataset.from_list(ROWS)
    file = str(folder / f"train.{kind}")
    if kind == "function":
        return "tests.data.test_sources:five_questions"
    if kind == "jsonl":
        dataset.to_json(file)
    elif kind == "json":
        (folder / "train.json").write_text(json.dumps(ROWS))
    elif kind == "csv":
        dataset.to_csv(file)
    elif kind == "parquet":
        dataset.to_parquet(file)
    elif kind == "folder of files":
        dataset.to_json(str(folder / "train.jsonl"))
        return str(folder)
    elif kind == "saved dataset":
        dataset.save_to_disk(str(folder))
        return str(folder)
    elif kind == "saved splits":
        DatasetDict({"train": dataset}).save_to_disk(str(folder))
        return str(folder)
    return file


KINDS = [
    "jsonl",
    "json",
    "csv",
    "parquet",
    "folder of files",
    "saved dataset",
    "saved splits",
    "function",
]


@pytest.mark.parametrize("kind", KINDS)
def test_rows_are_read_from_every_kind_of_source(tmp_path, kind):
    rows = load_split(DataArguments(dataset_name=save(tmp_path, kind)), "train").to_list()
    for row in rows:
        row["answer"] = str(row["answer"])  # a CSV has no types
    assert rows == ROWS


@pytest.mark.parametrize(
    ("name", "split", "message"),
    [
        ("./nowhere", "train", "there is no file or folder './nowhere'"),
        ("nowhere.jsonl", "train", "there is no file or folder 'nowhere.jsonl'"),  # not on the hub
        ("no_such_module:f", "train", "cannot import 'no_such_module:f'"),
        ("tests.data.test_sources:f", "train", "cannot import 'tests.data.test_sources:f'"),
        ("README.md", "train", "is not one of .jsonl, .json, .csv, .parquet"),
        ("tests.data.test_sources:five_questions", "test", "no split 'test'; there are: train"),
    ],
)
def test_a_source_that_cannot_be_read_is_one_clear_line(monkeypatch, name, split, message):
    monkeypatch.chdir(ROOT)
    with pytest.raises(UserError) as error:
        load_split(DataArguments(dataset_name=name), split)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("kind", ["jsonl", "folder of files", "saved splits"])
def test_a_split_that_a_source_does_not_have_is_named(tmp_path, kind):
    with pytest.raises(UserError, match=r"\btest\b") as error:
        load_split(DataArguments(dataset_name=save(tmp_path, kind)), "test")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("broken.jsonl", '{"question": "a", "ans'),
        ("empty.jsonl", ""),
    ],
)
def test_a_broken_or_empty_file_is_one_clear_line_that_names_it(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    with pytest.raises(UserError, match=name) as error:
        load_split(DataArguments(dataset_name=str(tmp_path / name)), "train")
    assert "\n" not in str(error.value)
