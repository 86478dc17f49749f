"""Arithmetic: neither a held-out question nor its product is seen in any training."""

import random

from recipes.arithmetic.dataset import products
from recipes.arithmetic.pretrain import make_document
from recipes.core.data import DataArguments, load_questions

DATASET = DataArguments(dataset_name="recipes.arithmetic.dataset:questions")


def parse(question):
    """The numbers in `a*b+c` or `a*b+c=`."""
    product, c = question.removesuffix("=").split("+")
    a, b = product.split("*")
    return int(a), int(b), int(c)


def test_no_product_is_both_trained_and_held_out():
    trained, held_out = (set(factors) for factors in products())
    assert (len(trained), len(held_out)) == (576, 144)
    assert not trained & held_out


def test_held_out_questions_use_held_out_products_only():
    _, held_out = products()
    train = load_questions(DATASET, "train")
    test = load_questions(DATASET, "test")
    assert not set(train["question"]) & set(test["question"])
    for row in test:
        a, b, c = parse(row["question"])
        assert row["answer"] == str(a * b + c)
        assert (a, b) in held_out


def test_the_pretraining_corpus_has_training_products_only():
    trained, _ = products()
    rng = random.Random(0)
    seen = set()
    for _ in range(20_000):
        question = make_document(rng, trained)[0]
        a, b, _ = parse(question)
        seen.add((a, b))
    assert seen == set(trained)
