r"""The completions of the audit: an ideal one, an honest failure, and some thirty that cheat.

A reward of correctness declares the row on which it is audited as its `audit_example`:

    audit_example = AuditExample({"answer": "B"}, right="B", wrong={"another letter": "A"})
"""

import re
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

# The end of DeepSeek-R1-Zero's system prompt, which a model can copy.
PROMPT_ECHO = "<think> reasoning process here </think> <answer> answer here </answer>"
MEGABYTE = 1 << 20

IDEAL = "ideal"
NO_IDEA = "no idea"
# Names of the well-formed completions with a wrong answer begin with this.
WRONG = "wrong: "


@dataclass(frozen=True)
class AuditExample:
    """A row that a reward can score.

    Attributes:
        row: its columns.
        right: the right answer.
        wrong: wrong answers that resemble it, by the name of the mistake.
    """

    row: dict[str, Any]
    right: str
    wrong: dict[str, str]


# For rewards of a numeric answer: the gold is 42.
NEAR_42 = MappingProxyType(
    {
        "near miss: 142 for 42": "142",
        "near miss: 42.0001": "42.0001",
        "near miss: -42": "-42",
        "near miss: 4.2": "4.2",
        "two answers": "41 or 42",
        "a list": "41, 42, 43",
        "two boxes": r"\boxed{41} \boxed{42}",
        "a false equation": "41=42",
        "the question's product": "6*7",
        "the question's sum": "40+2",
        "the question's quotient": "84/2",
        "the question's product given back": "6*7",
        "the question's sum given back": "40+2",
        "the question's quotient given back": "84/2",
        "the question's equation given back": "x+0=42",
    }
)

# Answers that are wrong whatever the question is, and hard on a parser.
ALWAYS_WRONG = MappingProxyType(
    {
        "only in the think block": "none",
        "huge power": "9^{9^{9^{9}}}",
        "deep nesting": "(" * 2000 + "7" + ")" * 2000,
        "nan": "nan",
        "infinity": r"\infty",
        "white space of other kinds": "\u200b\u2060",
        "other digits": "٤٢٧",
        "a null and half a character": "\x00\ud800",
        "1 MB": "7 " * (MEGABYTE // 2),
        "1 MB of brackets": "{[" * (MEGABYTE // 2),
    }
)


# A calculation in a question: two numbers or more with signs between them, or a formula.
_CALCULATION = re.compile(
    r"(?<![\w^])[\d(][\d.,() ]{0,40}(?:[-+*/^\u00d7\u00f7=<>] {0,3}[\d.()x ]{1,40}){1,20}"
)
_FORMULA = re.compile(r"\$((?:(?![A-Za-z]{2,} [a-z])[^$]){3,200})\$")  # unlike: $100. He has $15


def question_echoes(question: str) -> list[str]:
    """What a model can copy from a question: all of it, and the calculations and formulas in it."""
    formulas = _FORMULA.findall(question)
    calculations = _CALCULATION.findall(_FORMULA.sub(" ", question))
    return list(dict.fromkeys([question, *[text.strip(" .,") for text in calculations], *formulas]))


def audit_completions(example: AuditExample) -> dict[str, str]:
    """Every completion by its name: the ideal one, `no idea`, then those that cheat."""
    think = "1. 6*7\n2. 42\n3. =42"  # three steps, in no language
    right = example.right
    ideal = make_completion(think, right)
    completions = {
        IDEAL: ideal,
        NO_IDEA: make_completion(think, "no idea"),
    }

    # Well-formed, with a wrong answer. The right one is in the think block, where it must not pay.
    for name, answer in (example.wrong | ALWAYS_WRONG).items():
        completions[WRONG + name] = make_completion(f"{right} {think}", answer)
    completions[WRONG + "prompt echo"] = PROMPT_ECHO

    # Malformed, though most of them contain the right answer.
    completions |= {
        "empty": "",
        "no tags": right,
        "truncated in the answer": ideal[: -len("</answer>")],
        "truncated while thinking": ideal[: ideal.index("</think>")],
        "doubled": ideal * 2,
        "trailing text": ideal + "\nSo the answer is " + right,
        "leading text": "Sure! " + ideal,
        "empty think block": make_completion("", right),
        "answer inside the think block": f"<think>{think}<answer>{right}</answer></think>",
        "two answer blocks": ideal + f"<answer>{right}</answer>",
        "tag-stuffed": "<think></think><answer></answer>" * 50 + ideal,
        "tags in another order": f"<answer>{right}</answer><think>{think}</think>",
        "tags in capitals": ideal.upper(),
        "1 MB of tags": "<think>" * (MEGABYTE // 7),
        "1 MB of trailing text": ideal + "x" * MEGABYTE,
    }
    return completions


def make_completion(think: str, answer: str) -> str:
    return f"<think>{think}</think>\n<answer>{answer}</answer>"
