"""Does the thinking go step by step?"""

import re
from dataclasses import dataclass
from typing import Any

from rewards.completion import parse_completion

_STEP = re.compile(
    r"^\s*(?:Step \d+|\d+[.)]\s|[-*]\s)|\b(?:First|Second|Third|Next|Then|Finally),", re.MULTILINE
)


@dataclass(frozen=True)
class ReasoningSteps:
    """min(1, found / `steps`), where a step is a line of the think block that starts with `Step 2`, `2.`, `-` or `*`, or a `First,`
    ... `Finally,` (open-r1's reward of that name, https://github.com/huggingface/open-r1, inside the think block only).

    It pays the look of reasoning, not reasoning: keep its weight small.

    Parameters:
        steps: how many earn it all.
    """

    steps: int = 3

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ValueError(f"steps is {self.steps}; write 1 or more")

    def __call__(self, completion: str, **row: Any) -> float:
        trace = parse_completion(completion)
        return min(1.0, len(_STEP.findall(trace.think)) / self.steps) if trace else 0.0
