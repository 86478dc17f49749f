"""Questions of the form a*b+c, generated, the same on every machine.

    {"question": "23*7+5", "answer": "166"}

with a in 10..99, b in 2..9 and c in 1..9. The 720 products a*b are shuffled once: 576 of them
appear only in training questions, 144 only in held-out questions. So neither a held-out question
nor the product in it is ever seen in training or pretraining. There are 5,184 training questions
and 1,296 held-out questions.
"""

import random
from itertools import product
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datasets import DatasetDict

Factors = tuple[int, int]

TRAIN_PRODUCTS = 576


def products() -> tuple[list[Factors], list[Factors]]:
    """The factors (a, b) of the training questions and of the held-out questions; disjoint."""
    # A fixed seed: the split is part of the recipe, and the shipped models depend on it.
    factors = list(product(range(10, 100), range(2, 10)))
    random.Random(0).shuffle(factors)
    return factors[:TRAIN_PRODUCTS], factors[TRAIN_PRODUCTS:]


def questions() -> "DatasetDict":
    """The splits `train` and `test`, all questions of each in a fixed random order."""
    from datasets import Dataset, DatasetDict

    splits = {}
    for name, factors in zip(("train", "test"), products(), strict=True):
        rows = []
        for (a, b), c in product(factors, range(1, 10)):
            rows.append({"question": f"{a}*{b}+{c}", "answer": str(a * b + c)})
        # Neighbours would otherwise share a product, and so would the batches of a training run.
        random.Random(1).shuffle(rows)
        splits[name] = Dataset.from_list(rows)
    return DatasetDict(splits)
