"""The shape of a reasoning trace. The only file that knows the tags.

    <think>20*7=140 3*7=21 140+21=161</think><answer>161</answer>

The format is DeepSeek-R1-Zero's (arXiv 2501.12948, Table 1).
"""

import re
from dataclasses import dataclass

from rewards.answers.normalize import boxed

TAGS = ("<think>", "</think>", "<answer>", "</answer>")

_LAST_NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?(?:/\d+)?%?")


@dataclass(frozen=True)
class ParsedCompletion:
    """A well-formed completion, taken apart. Both texts are stripped and not empty."""

    think: str
    answer: str


def parse_completion(text: str) -> ParsedCompletion | None:
    """Takes a completion apart; `None` if it is not exactly one think block and one answer block, in this order.

    `text` starts where the model's turn starts: when the chat template puts `<think>` into the prompt, the caller
    puts it back in front of the completion (`rewards.build(..., prefix="<think>")` does).
    """
    # No pattern with `.*` here: on a megabyte without tags in their place it would take minutes.
    if any(text.count(tag) != 1 for tag in TAGS):
        return None
    before, _, rest = text.partition("<think>")
    think, _, rest = rest.partition("</think>")
    between, _, rest = rest.partition("<answer>")
    answer, _, after = rest.partition("</answer>")
    if (before + between + after).strip() or not think.strip() or not answer.strip():
        return None
    return ParsedCompletion(think.strip(), answer.strip())


def flexible_completion(text: str) -> str:
    """The completion as a well-formed trace with whatever it gives for an answer after thinking; empty if it gives none.

    For evaluation only: judged so, a model earns for knowing the answer what the strict verdict withholds for the form. The
    answer is the last answer block, closed or not, else the last `\\boxed{}`, else the last number, else the last line. Text that
    starts to think and does not end has no answer.
    """
    if parse_completion(text):
        return text
    if "<think>" in text and "</think>" not in text:
        return ""
    after = text.rpartition("</think>")[2]
    if "<answer>" in after:
        answer = after.rpartition("<answer>")[2].partition("</answer>")[0]
    elif boxes := boxed(after):
        answer = boxes[-1]
    elif numbers := _LAST_NUMBER.findall(after):
        answer = numbers[-1]
    else:
        answer = after.strip().rpartition("\n")[2]
    for tag in TAGS:
        answer = answer.replace(tag, "")
    return f"<think>-</think><answer>{answer}</answer>" if answer.strip() else ""
