"""Counts the visible steps of the reasoning."""

import re
from dataclasses import dataclass
from typing import Any

from rewards.completion import parse_completion

# White space within the line only: `\s*` would search a run of empty lines from each of them.
_STEP = re.compile(
    r"""
      ^[^\S\n]*(?: Step\ \d+ | \d+[.)]\s | [-*]\s )                      # Step 2   2.   2)   -   *
    | \b(?: First | Second | Third | Next | Then | Finally ),       # First,
    """,
    re.MULTILINE | re.VERBOSE,
)


@dataclass(frozen=True)
class ReasoningSteps:
    """min(1, steps found in the think block / `steps`).

    A step is a line that starts with `Step 2`, `2.`, `-` or `*`, or a `First,` ... `Finally,`.
    After open-r1's reward of that name (https://github.com/huggingface/open-r1), which searches the
    whole completion. It pays for the look of reasoning, not for reasoning: keep its weight small.

    Parameters:
        steps: number of steps that earns the full score.
    """

    steps: int = 3

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ValueError(f"steps is {self.steps}; write 1 or more")

    def __call__(self, completion: str, **row: Any) -> float:
        parsed = parse_completion(completion)
        if parsed is None:
            return 0.0
        return min(1.0, len(_STEP.findall(parsed.think)) / self.steps)
