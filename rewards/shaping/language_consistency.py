"""Language consistency: the fraction of the reasoning in the target language."""

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from rewards.completion import parse_completion

# The scripts of a language: the first word of the Unicode names of its letters.
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

# A LaTeX command, such as \frac, is not a word.
_COMMAND = re.compile(r"\\[A-Za-z]+")
# A Han character or a kana is a word of its own, because no space separates them.
_CHARACTER_WORDS = r"\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
_WORD = re.compile(rf"[{_CHARACTER_WORDS}]|[^\W\d_{_CHARACTER_WORDS}]+")


@dataclass(frozen=True)
class Language:
    """The fraction of the words of the think block that are in the target language.

    This is the language consistency reward of DeepSeek-R1 (arXiv 2501.12948, section 2.3.2). 0.0
    for a malformed completion, 1.0 for one without words. A word is recognised by its script, so
    English and French look the same, and one-letter variables count as Latin script.

    Parameters:
        language: two-letter code (ISO 639-1), one of `SCRIPTS`; `en` for any language in Latin
            script.
    """

    language: str = "en"

    def __post_init__(self) -> None:
        if self.language not in SCRIPTS:
            raise ValueError(f"language is {self.language!r}; write one of {', '.join(SCRIPTS)}")

    def __call__(self, completion: str, **row: Any) -> float:
        parsed = parse_completion(completion)
        if parsed is None:
            return 0.0
        words = _WORD.findall(_COMMAND.sub(" ", parsed.think))
        if not words:
            return 1.0
        scripts = SCRIPTS[self.language]
        return sum(_script(word[0]) in scripts for word in words) / len(words)


@lru_cache(maxsize=4096)
def _script(letter: str) -> str:
    return unicodedata.name(letter, "").split(" ")[0]
