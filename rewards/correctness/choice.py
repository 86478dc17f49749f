"""Multiple choice: the answer names the right letter."""

import re
from dataclasses import dataclass
from typing import Any, ClassVar

from rewards.answers.normalize import normalize
from rewards.answers.several import best_score
from rewards.audit_cases import AuditExample
from rewards.completion import parse_completion

# A letter alone, or set off from the text behind it: "B) Paris" is a choice, "A cat" is not.
_CHOICE = re.compile(
    r"""
      [(\[]? ([A-Za-z]) [)\]]? [.:]?          # B   (B)   [B]   B.   B)
    | [(\[]? ([A-Za-z]) [)\].:] \s (.*)       # B) Paris
    """,
    re.DOTALL | re.VERBOSE,
)
# A second choice in the text behind the letter.
_ANOTHER_CHOICE = re.compile(
    r"""
      \b [A-Z] [)\].:]                                    # A. or B.
    | (?: \bor | \band | , | / ) \s* \(? [A-Z] \b \W* \Z  # A) no, B
    """,
    re.VERBOSE,
)


@dataclass(frozen=True)
class Choice:
    """1.0 if the answer block names the gold letter, 0.0 if another one or none.

    `None` if the gold answer is not a letter. `B`, `b`, `(B)`, `B.`, `B) Paris` and `\\boxed{B}`
    name B; `A or B` and `A cat` name nothing.
    """

    audit_example: ClassVar[AuditExample] = AuditExample(
        {"answer": "B"},
        right="B",
        wrong={"another": "A", "two answers": "A or B", "all": "ABCD", "an article": "A B"},
    )

    def __call__(self, completion: str, answer: Any, **row: Any) -> float | None:
        # Of several golds one may be enough; an answer names no more than one letter.
        if isinstance(answer, list | tuple):
            if row.get("answer_is") != "any" and len(answer) > 1:
                return None
            return best_score([self(completion, one) for one in answer])
        gold = _read_letter(str(answer))
        if gold is None:
            return None
        parsed = parse_completion(completion)
        if parsed is None:
            return 0.0
        return float(_read_letter(parsed.answer) == gold)


def _read_letter(text: str) -> str | None:
    """The letter that a text chooses, in upper case; `None` if it chooses none or several."""
    # The plain text first: normalising `B) Paris` would lose the space behind the bracket.
    match = _CHOICE.fullmatch(text.strip()) or _CHOICE.fullmatch(normalize(text))
    if match is None:
        return None
    text_behind = match[3] or ""
    if _ANOTHER_CHOICE.search(text_behind):
        return None
    letter: str = match[1] or match[2]
    return letter.upper()
