"""Finds questions that also appear in an evaluation set.

A question is contaminated if it has the text of an evaluation question, or thirteen consecutive
words in common with one, as GPT-3's training data was filtered (arXiv 2005.14165, appendix C).
"""

import logging
import re
from collections.abc import Iterable

from recipes.core.data.benchmarks import BenchmarkArguments, benchmark_arguments
from recipes.core.data.questions import load_questions
from recipes.core.errors import UserError

logger = logging.getLogger(__name__)

NGRAM_WORDS = 13

# Everything but words, numbers and the signs of formulas.
# matches: the comma, the question mark and the quotes in `"How many, then?"`
_PUNCTUATION = re.compile(r"[^\w+\-*/=<>.]")


def benchmark_questions(args: BenchmarkArguments, source: str) -> list[str]:
    """The questions of every evaluation set, except one that is also the training split.

    A set that cannot be read is left out with a warning.
    """
    training = (args.dataset_name, args.dataset_config, args.dataset_train_split)
    questions: list[str] = []
    for name, benchmark in benchmark_arguments(args, source).items():
        # Every training question appears in the training split.
        split = benchmark.dataset_test_split
        if (benchmark.dataset_name, benchmark.dataset_config, split) == training:
            continue

        # The whole split counts, not only the `max_eval_samples` that are evaluated.
        try:
            questions += load_questions(benchmark, split, needs_answer=False)["question"]
        except UserError as error:
            logger.warning("the traces are not compared with the set %s: %s", name, error)
    return questions


def find_contaminated(questions: Iterable[str], held_out: Iterable[str]) -> set[str]:
    """Those of `questions` that also appear among the evaluation questions `held_out`."""
    # Index the evaluation questions once: their whole texts, and all of their word n-grams.
    held_out_texts: set[str] = set()
    held_out_ngrams: set[str] = set()
    for question in held_out:
        held_out_texts.add(normalize_words(question))
        held_out_ngrams |= word_ngrams(question, NGRAM_WORDS)

    # Look up each question, however many samples answer it.
    contaminated = set()
    for question in set(questions):
        has_same_text = normalize_words(question) in held_out_texts
        if has_same_text or not held_out_ngrams.isdisjoint(word_ngrams(question, NGRAM_WORDS)):
            contaminated.add(question)
    return contaminated


def word_ngrams(text: str, n: int) -> set[str]:
    """All runs of `n` words in `text`, normalised."""
    words = normalize_words(text).split()
    return {" ".join(words[start : start + n]) for start in range(len(words) - n + 1)}


def normalize_words(text: str) -> str:
    """`text` in lower case, without punctuation, with single spaces."""
    return " ".join(_PUNCTUATION.sub(" ", text.lower()).split())
