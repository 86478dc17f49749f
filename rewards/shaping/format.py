"""Is the completion one think block and one answer block, and nothing else?"""

from dataclasses import dataclass
from typing import Any

from rewards.completion import parse_completion
from rewards.shaping.tag_count import TagCount


@dataclass(frozen=True)
class Format:
    """1.0 for a well-formed trace, else 0.0 (the format reward of DeepSeek-R1-Zero, arXiv 2501.12948, section 2.2.2).

    Well-formed is what `rewards.completion.parse` accepts: an empty think block, text after `</answer>` or a second block of
    either kind earns nothing.

    Parameters:
        graded: for base models that never write a whole trace by themselves, a malformed one earns half of its tag count: 1/8
            for each of the four tags that occurs exactly once.
    """

    graded: bool = False

    def __call__(self, completion: str, **row: Any) -> float:
        if parse_completion(completion):
            return 1.0
        return TagCount()(completion) / 2 if self.graded else 0.0
