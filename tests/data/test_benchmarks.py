"""`eval_sets` lists how each further set differs from the held-out one."""

from contextlib import nullcontext
from dataclasses import replace

import pytest

from recipes.core.data.benchmarks import (
    BenchmarkArguments,
    benchmark_arguments,
    load_benchmarks,
)
from recipes.core.errors import UserError
from recipes.core.files import replace_jsonl

SOURCE = "evaluate.yaml"


def test_without_eval_sets_there_is_the_held_out_split():
    args = BenchmarkArguments(dataset_name="a")
    assert benchmark_arguments(args, SOURCE) == {"held_out": args}


@pytest.mark.parametrize(
    "eval_sets",
    [
        [{"name": "train", "dataset_test_split": "train", "max_eval_samples": 5}],
        "[{name: train, dataset_test_split: train, max_eval_samples: 5}]",  # the command line
    ],
)
def test_a_further_set_overrides_only_the_keys_it_lists(eval_sets):
    args = BenchmarkArguments(dataset_name="a", answer_pattern="(.)", max_eval_samples=9)
    args = replace(args, eval_sets=eval_sets)
    sets = benchmark_arguments(args, SOURCE)
    assert list(sets) == ["held_out", "train"]
    assert sets["held_out"] == args
    assert sets["train"] == replace(args, dataset_test_split="train", max_eval_samples=5)


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ("{name: train}", "`eval_sets` must be a list"),
        ("[train]", "got 'train'"),
        ("[{dataset_name: b}]", "got {'dataset_name': 'b'}"),  # no name
        ("[{name: held_out}]", "got {'name': 'held_out'}"),  # taken
        ("[{name: b}, {name: b}]", "got {'name': 'b'}"),  # taken by the first
        ("[{name: ../up}]", "got {'name': '../up'}"),  # it names a folder
        ("[{name: ..}]", "got {'name': '..'}"),  # the same
        ("[{name: b, dataset_nam: b}]", "unknown key `dataset_nam`; did you mean `dataset_name`?"),
        ("[{name: b, max_train_samples: 1}]", "unknown key `max_train_samples`"),  # of training
        ("[{name: b", "`eval_sets` is not valid YAML"),
    ],
)
def test_an_entry_that_makes_no_sense_is_refused(entries, message):
    args = BenchmarkArguments(dataset_name="a", eval_sets=entries)
    with pytest.raises(UserError) as error:
        benchmark_arguments(args, SOURCE)
    assert message in str(error.value)
    assert str(error.value).startswith(SOURCE)


def test_every_set_is_read_without_its_duplicates(tmp_path):
    rows = [{"question": question, "answer": "2"} for question in ("1+1", "1+1", "4-2", "6/3")]
    replace_jsonl(tmp_path / "a.jsonl", rows)
    replace_jsonl(tmp_path / "b.jsonl", rows[2:])
    args = BenchmarkArguments(
        dataset_name=str(tmp_path / "a.jsonl"),
        dataset_test_split="train",
        max_eval_samples=3,
        eval_sets=[{"name": "b", "dataset_name": str(tmp_path / "b.jsonl")}],
    )
    held_out, other = load_benchmarks(args, SOURCE, lambda name: nullcontext())
    assert (held_out.name, list(held_out.questions["question"])) == ("held_out", ["1+1", "4-2"])
    assert (other.name, list(other.questions["question"])) == ("b", ["4-2", "6/3"])
