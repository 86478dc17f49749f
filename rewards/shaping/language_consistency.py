"""Does the model think in the language of the user?"""

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from rewards.completion import parse_completion

# The scripts that a language is written in, by the first word of Unicode's names of its letters.
SCRIPTS = {
    "ar": {"ARABIC"},
    "el": {"GREEK"},
    "en": {"LATIN"},
    "he": {"HEBREW"},
    "hi": {"DEVANAGARI"},
    "ja": {"HIRAGANA", "KATAKANA", "KATAKANA-HIRAGANA", "CJK"},
    "ko": {"HANGUL"},
    "ru": {"CYRILLIC"},
    "th": {"THAI"},
    "zh": {"CJK"},
}
# A LaTeX command is no word; a Han character or a kana is one, because nothing separates them.
_COMMAND = re.compile(r"\\[A-Za-z]+")
_WORD = re.compile(
    r"[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]|[^\W\d_\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]+"
)


@dataclass(frozen=True)
class Language:
    """The share of the words of the think block that are in the target language (the language consistency reward of DeepSeek-R1,
    arXiv 2501.12948, section 2.3.2); 0.0 for a malformed trace, 1.0 for one without words.

    A word is told by its script, so English and French are the same to it, and one-letter variables count for the Latin script.

    Parameters:
        language: its two-letter code (ISO 639-1), one of `SCRIPTS`; any language in Latin script is `en`.
    """

    language: str = "en"

    def __post_init__(self) -> None:
        if self.language not in SCRIPTS:
            raise ValueError(f"language is {self.language!r}; write one of {', '.join(SCRIPTS)}")

    def __call__(self, completion: str, **row: Any) -> float:
        trace = parse_completion(completion)
        if trace is None:
            return 0.0
        words = _WORD.findall(_COMMAND.sub(" ", trace.think))
        return (
            sum(_script(word[0]) in SCRIPTS[self.language] for word in words) / len(words)
            if words
            else 1.0
        )


@lru_cache(maxsize=4096)
def _script(letter: str) -> str:
    return unicodedata.name(letter, "").split(" ")[0]
