"""The score book: what it writes to scores.json, and which models it compares."""

import json

import pytest

from recipes.core.evaluation import ScoreBook
from recipes.core.evaluation.metrics import summarize_scores
from tests.evaluation.samples import make_samples

METADATA = {"model": "some/folder", "parameters": 1000, "weights_mb": 0.1, "template": None}


def book_of(*models, benchmark="held_out"):
    """A book with these models; each is correct on two more questions than the one before."""
    book = ScoreBook(seed=1)
    for index, model in enumerate(models):
        right = 2 * index
        book.add(model, benchmark, make_samples(right, wrong=10 - right), METADATA)
    return book


def test_a_model_has_its_scores_and_its_metadata():
    book = book_of("policy")
    scores = summarize_scores(make_samples(0, wrong=10), seed=1)
    assert book.to_dict()["held_out"]["models"] == {"policy": scores | METADATA}


def test_the_document_is_json_with_models_and_benchmarks_in_the_order_they_were_added():
    book = book_of("policy", "base")
    book.add("policy", "train", make_samples(3), METADATA)
    book.add("base", "train", make_samples(3), METADATA)
    document = json.loads(json.dumps(book.to_dict()))
    assert list(document) == ["held_out", "train"]
    assert list(document["held_out"]) == ["models", "paired"]
    assert list(document["train"]["models"]) == ["policy", "base"]
    assert document["train"]["models"]["base"]["n"] == 3


@pytest.mark.parametrize(
    ("models", "pairs"),
    [
        (
            ["base", "policy", "student_base", "student"],
            ["policy - base", "student - student_base", "student - policy"],
        ),
        (["student", "policy", "base"], ["policy - base", "student - policy"]),
        (["policy", "other", "student"], ["student - policy"]),
        (["policy", "other"], ["other - policy"]),  # no named pair: neighbours
        (["a", "b", "c"], ["b - a", "c - b"]),
        (["student_base", "policy"], ["policy - student_base"]),
        (["policy"], []),
    ],
)
def test_named_pairs_are_compared_or_else_neighbours(models, pairs):
    assert list(book_of(*models).paired("held_out")) == pairs


def test_a_difference_is_that_of_the_second_model_to_the_first():
    test = book_of("base", "policy").paired("held_out")["policy - base"]
    assert test["difference"] == pytest.approx(0.2)
    assert test["n"] == 10


def test_only_questions_that_both_models_answered_are_compared():
    book = ScoreBook(seed=1)
    book.add("base", "held_out", make_samples(5), METADATA)
    book.add("policy", "held_out", make_samples(5, first=3), METADATA)  # 003 to 007
    assert book.paired("held_out")["policy - base"]["n"] == 2


def test_each_benchmark_is_compared_by_itself():
    book = book_of("base", "policy")
    for model in ("base", "policy"):
        book.add(model, "train", make_samples(4), METADATA)
    assert book.paired("train")["policy - base"]["difference"] == 0.0
    assert book.paired("held_out")["policy - base"]["difference"] > 0.0


def test_greedy_completions_add_one_number():
    book = book_of("policy")
    before = dict(book.scores["held_out"]["policy"])
    book.add_greedy("policy", "held_out", make_samples(1, wrong=3))
    assert book.scores["held_out"]["policy"] == before | {"greedy_accuracy": 0.25}


def test_speeds_are_kept_apart_from_the_document_which_is_the_same_in_every_run():
    book = book_of("base", "policy")
    document = json.dumps(book.to_dict())
    book.add_speed("policy", "held_out", {"tokens_per_second": 500.0})
    book.add_speed("policy", "train", {"tokens_per_second": 1.0})  # only held-out ones are shown
    book.add_speed("base", "held_out", {})  # all of its completions were there
    assert book.speeds == {"policy": 500.0}
    assert json.dumps(book.to_dict()) == document


def test_models_without_a_common_question_are_not_compared():
    book = ScoreBook(seed=1)
    book.add("base", "held_out", make_samples(5), METADATA)
    book.add("policy", "held_out", make_samples(5, first=5), METADATA)
    assert book.paired("held_out") == {}


def test_a_model_that_is_added_later_is_compared_too():
    book = book_of("base")
    assert book.paired("held_out") == {}
    book.add("policy", "held_out", make_samples(5, wrong=5), METADATA)
    assert list(book.paired("held_out")) == ["policy - base"]
