"""How many of the tags are there?"""

from dataclasses import dataclass
from typing import Any

from rewards.completion import TAGS


@dataclass(frozen=True)
class TagCount:
    """1/4 for each of `<think>`, `</think>`, `<answer>`, `</answer>` that occurs exactly once, wherever it stands.

    After open-r1's reward of that name (https://github.com/huggingface/open-r1), which wants line breaks around the tags. Tags
    alone earn it all: keep its weight small, and next to `format`.
    """

    def __call__(self, completion: str, **row: Any) -> float:
        return sum(completion.count(tag) == 1 for tag in TAGS) / len(TAGS)
