"""Finds training questions that also appear in a benchmark."""

import logging
import re
from collections.abc import Iterable

from recipes.core.data.benchmarks import BenchmarkArguments, benchmark_arguments
from recipes.core.data.questions import load_questions
from recipes.core.errors import UserError

logger = logging.getLogger(__name__)


CONTAMINATION_NGRAM = 13


def contamination_index(questions: Iterable[str]) -> tuple[set[str], set[str]]:
    listed = list(questions)
    return {normalize_words(text) for text in listed}, {
        ngram for text in listed for ngram in word_ngrams(text, CONTAMINATION_NGRAM)
    }


def word_ngrams(text: str, n: int) -> set[str]:
    words = normalize_words(text).split()
    return {" ".join(words[start : start + n]) for start in range(len(words) - n + 1)}


def normalize_words(text: str) -> str:
    return " ".join(re.sub(r"[^\w+\-*/=<>.]", " ", text.lower()).split())


def benchmark_questions(args: BenchmarkArguments, source: str) -> list[str]:
    """The questions of every set for evaluation but those that are trained on; a set that cannot be read is left out, with a word
    about it."""
    questions: list[str] = []
    for name, one in benchmark_arguments(args, source).items():
        if (one.dataset_name, one.dataset_config, one.dataset_test_split) != (
            args.dataset_name, args.dataset_config, args.dataset_train_split,
        ):  # fmt: skip
            try:
                questions += load_questions(one, one.dataset_test_split)["question"]
            except UserError as error:
                logger.warning("the traces are not compared with the set %s: %s", name, error)
    return questions
