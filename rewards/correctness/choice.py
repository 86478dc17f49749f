"""Is this the right letter of a multiple-choice question?"""

import re
from dataclasses import dataclass
from typing import Any

from rewards.answers.normalize import normalize
from rewards.completion import parse_completion

# B, (B), [B], B., B) because the letter stands alone or is set off from the text behind it: "A cat" is no choice.
_CHOICE = re.compile(r"[(\[]?([A-Za-z])[)\]]?[.:]?|[(\[]?([A-Za-z])[)\].:]\s(.*)", re.DOTALL)
_ANOTHER = re.compile(r"\b[A-Z][)\].:]|(?:\bor|\band|,|/)\s*\(?[A-Z]\b\W*\Z")  # A. or B.


@dataclass(frozen=True)
class Choice:
    """1.0 if the answer block names the gold letter, 0.0 if another one or none, `None` if the gold is not a letter.

    `B`, `b`, `(B)`, `B.`, `B) Paris` and `\\boxed{B}` name B; `A or B` and `A cat` name nothing.
    """

    def __call__(self, completion: str, answer: Any, **row: Any) -> float | None:
        gold, trace = _letter(str(answer)), parse_completion(completion)
        if gold is None:
            return None
        return float(trace is not None and _letter(trace.answer) == gold)


def _letter(text: str) -> str | None:
    match = _CHOICE.fullmatch(text.strip()) or _CHOICE.fullmatch(normalize(text))
    if not match or _ANOTHER.search(match[3] or ""):
        return None
    return (match[1] or match[2]).upper()
