"""Parses the format of a completion. The only file that knows the tags.

    <think>20*7=140 3*7=21 140+21=161</think><answer>161</answer>

The format is DeepSeek-R1-Zero's (arXiv 2501.12948, Table 1).
"""

import re
from dataclasses import dataclass

from rewards.answers.normalize import boxed

THINK, END_THINK = "<think>", "</think>"
ANSWER, END_ANSWER = "<answer>", "</answer>"
TAGS = (THINK, END_THINK, ANSWER, END_ANSWER)

_NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?(?:/\d+)?%?")  # 161   -1,200.50   3/4   25%


@dataclass(frozen=True)
class ParsedCompletion:
    """The two parts of a well-formed completion, both stripped and not empty."""

    think: str
    answer: str


def parse_completion(text: str) -> ParsedCompletion | None:
    """The parts of a completion; `None` unless it is one think block, then one answer block.

    `text` starts where the model's turn starts: if the chat template puts `<think>` into the
    prompt, the caller puts it back in front (`build_rewards(..., prefix="<think>")` does).
    """
    # No pattern with `.*` here: on a megabyte of misplaced tags it would take minutes.
    if any(text.count(tag) != 1 for tag in TAGS):
        return None
    # Every tag occurs once, so the four cuts are in order or find nothing.
    before, _, rest = text.partition(THINK)
    think, _, rest = rest.partition(END_THINK)
    between, _, rest = rest.partition(ANSWER)
    answer, _, after = rest.partition(END_ANSWER)
    if (before + between + after).strip() or not think.strip() or not answer.strip():
        return None
    return ParsedCompletion(think.strip(), answer.strip())


def tagged(think: str, answer: str) -> str:
    """The completion that has these two parts."""
    return f"{THINK}{think}{END_THINK}{ANSWER}{answer}{END_ANSWER}"


def flexible_completion(text: str) -> str:
    """The completion rewritten as a well-formed one, with the last answer it gives after thinking.

    For evaluation only: scored this way, a model earns what the strict format withholds although it
    knows the answer. Empty if the completion gives no answer.
    """
    if parse_completion(text):
        return text
    if THINK in text and END_THINK not in text:
        return ""  # still thinking
    # Tags around or inside the answer must not break the rewritten format.
    answer = _last_answer(text.rpartition(END_THINK)[2])
    for tag in TAGS:
        answer = answer.replace(tag, "")
    return tagged("-", answer) if answer.strip() else ""


def _last_answer(text: str) -> str:
    """The last answer block, closed or not, else the last `\\boxed{}`, number or line."""
    # From the most explicit way to give an answer to the least.
    if "<answer>" in text:
        return text.rpartition("<answer>")[2].partition("</answer>")[0]
    boxes = boxed(text)
    if boxes:
        return boxes[-1]
    numbers = _NUMBER.findall(text)
    if numbers:
        return numbers[-1]
    return text.strip().rpartition("\n")[2]
