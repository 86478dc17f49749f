"""Does the completion repeat itself?"""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Repetition:
    """Minus the share of repeated n-grams of words, from 0 (none) towards -1 (the n-gram penalty of arXiv 2502.03373, section 4.3):

        -(1 - distinct n-grams / n-grams)

    Parameters:
        ngram_words: the n; text of fewer words earns 0.
    """

    ngram_words: int = 4

    def __call__(self, completion: str, **row: Any) -> float:
        words = completion.lower().split()
        ngrams = list(zip(*(words[start:] for start in range(self.ngram_words)), strict=False))
        return len(set(ngrams)) / len(ngrams) - 1.0 if ngrams else 0.0
