"""Tag count: the fraction of the four tags that occur exactly once."""

from dataclasses import dataclass
from typing import Any

from rewards.completion import TAGS


@dataclass(frozen=True)
class TagCount:
    """1/4 for each of `<think>`, `</think>`, `<answer>`, `</answer>` that occurs exactly once.

    The position does not matter. After open-r1's reward of that name
    (https://github.com/huggingface/open-r1), which also requires line breaks around the tags. Tags
    alone earn it in full: keep its weight small, and combine it with `format`.
    """

    def __call__(self, completion: str, **row: Any) -> float:
        return sum(completion.count(tag) == 1 for tag in TAGS) / len(TAGS)
