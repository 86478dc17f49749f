"""The shape of a reasoning trace. The only file that knows the tags.

    <think>20*7=140 3*7=21 140+21=161</think><answer>161</answer>

The format is DeepSeek-R1-Zero's (arXiv 2501.12948, Table 1).
"""

import re
from dataclasses import dataclass

TAGS = ("<think>", "</think>", "<answer>", "</answer>")

# One think block, then one answer block, white space between and around them, nothing else. Both blocks hold something.
_TRACE = re.compile(r"\s*<think>(?P<think>.*\S.*)</think>\s*<answer>(?P<answer>.*\S.*)</answer>\s*", re.DOTALL)


@dataclass(frozen=True)
class Trace:
    """A well-formed completion, taken apart. Both texts are stripped and not empty."""

    think: str
    answer: str


def parse(text: str) -> Trace | None:
    """Takes a completion apart; `None` if it is not exactly one think block and one answer block, in this order.

    `text` starts where the model's turn starts: when the chat template puts `<think>` into the prompt, the caller
    puts it back in front of the completion (`rewards.build(..., prefix="<think>")` does).
    """
    # Counting first keeps the pattern simple: with each tag present once, `.*` cannot run over a second block.
    if any(text.count(tag) != 1 for tag in TAGS):
        return None
    match = _TRACE.fullmatch(text)
    return Trace(match["think"].strip(), match["answer"].strip()) if match else None
