"""Penalty for repeated n-grams."""

from dataclasses import dataclass
from typing import Any, ClassVar


@dataclass(frozen=True)
class Repetition:
    """Minus the fraction of repeated n-grams of words, from 0 (none) towards -1:

        -(1 - distinct n-grams / n-grams)

    The n-gram penalty of arXiv 2502.03373, section 4.3.

    Parameters:
        ngram_words: words per n-gram; a shorter text earns 0.
    """

    ngram_words: int = 4

    best_score: ClassVar[float | None] = 0.0

    def __call__(self, completion: str, **row: Any) -> float:
        words = completion.lower().split()
        # The words, and the words from the second, third ... on: side by side, the n-grams.
        shifted = [words[start:] for start in range(self.ngram_words)]
        ngrams = list(zip(*shifted, strict=False))
        if not ngrams:
            return 0.0
        return len(set(ngrams)) / len(ngrams) - 1.0
