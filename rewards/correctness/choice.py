"""Multiple choice: the answer names the right letter."""

import re
from dataclasses import dataclass
from typing import Any, ClassVar

from rewards.answers.several import best_score
from rewards.audit_cases import AuditExample
from rewards.completion import parse_completion

# Words before the letter that say no more than that it follows.
_LEAD_IN = re.compile(
    r"(?:(?:so|thus|therefore|hence|the|my|our|final|correct|right|best|answer|option|choice|letter"
    r"|is|it(?:['\u2019]s)?|would be|must be|i (?:choose|pick|think|believe))"
    r"(?![a-z'\u2019])[\s,:]*)+",
    re.IGNORECASE,
)

# A letter alone, or set off from the text behind it: "B) Paris" is a choice, "A cat" is not.
_CHOICE = re.compile(
    r"""
      [(\[]? ([A-Za-z]) [)\]]? [.:]?                                # B  (B)  [B]  B.  B.)
    | [(\[]? ([A-Za-z]) [)\]]? \s is \s (?:the \s)? (?:correct|right)? \s? (?:answer)? \.?
                                                                   # B is the right answer
    | [(\[]? ([A-Za-z])                                             # B) Paris  B (Paris)  B - Paris
      (?: [)\].:]{1,2} \s | \s (?=\() | \s [-\u2013\u2014] \s ) (.*)
    """,
    re.DOTALL | re.VERBOSE,
)

# A second choice in the text behind the letter, or one that is taken back.
_ANOTHER_CHOICE = re.compile(
    r"""
      \A \W* [A-Za-z] \W* \Z                                          # B. C?
    | \s \(? (?-i:[A-Z]) [)\]:]                                        # B) Paris C) London
    | \b (?: or|and|is|not|no|but|maybe|answer|option|choice ) \s* \(? [A-Za-z] \b \W* \Z
    | [,/;?!] \s* \(? (?-i:[A-Z]) \b \W* \Z                           # A) no, B
    | \A \W* (?: or | not | no | wrong ) \b                           # B. not, it is C
    | \b (?: is | isn['\u2019]t ) \s (?: wrong | incorrect | not ) \b
    """,
    re.DOTALL | re.IGNORECASE | re.VERBOSE,
)

# Emphasis and commands around a text.  matches: **  $  \textbf{  \boxed{  }  \
_MARKUP = re.compile(
    r"\*\*|__|\$|\\(?:text[a-z]*|mathrm|mathbf|boxed|mbox)\s*\{|[{}`]|\\[ ,;()\[\]]"
)

_MAX_LENGTH = 2000  # characters of an option and its text


@dataclass(frozen=True)
class Choice:
    """1.0 if the answer block names the gold letter, 0.0 if another one or none.

    `None` if the gold answer is not a letter. `B`, `b`, `(B)`, `B.`, `B) Paris`, `\\boxed{B}` and
    `The answer is B` name B; `A or B` and `A cat` name nothing.
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
    # Options are short: a page of text chooses nothing.
    if len(text) > _MAX_LENGTH:
        return None
    text = _MARKUP.sub(lambda match: " " if match[0].endswith(" ") else "", text).strip()
    lead_in = _LEAD_IN.match(text)
    match = _CHOICE.fullmatch(text, lead_in.end() if lead_in else 0)
    if match is None:
        return None
    letter: str = (match[1] or match[2] or match[3]).upper()
    text_behind = match[4] or ""
    # The next option begins with the next letter: `B. Paris C. London`, unlike `B. E. coli`.
    next_option = f" {chr(ord(letter) + 1)}. "
    if _ANOTHER_CHOICE.search(text_behind) or next_option in text_behind.replace("\n", " "):
        return None
    return letter
