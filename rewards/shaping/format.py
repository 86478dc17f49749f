"""Format: the completion is one think block and one answer block, and nothing else."""

from dataclasses import dataclass
from typing import Any

from rewards.completion import parse_completion
from rewards.shaping.tag_count import TagCount


@dataclass(frozen=True)
class Format:
    """1.0 for a well-formed completion, else 0.0.

    This is the format reward of DeepSeek-R1-Zero (arXiv 2501.12948, section 2.2.2). Well-formed is
    what `rewards.completion.parse_completion` accepts: an empty think block, text after `</answer>`
    or a second block of either kind earns nothing.

    Parameters:
        graded: for base models that never write the whole format by themselves: a malformed
            completion earns half of its tag count, 1/8 for each of the four tags that occurs
            exactly once.
    """

    graded: bool = False

    def __call__(self, completion: str, **row: Any) -> float:
        if parse_completion(completion):
            return 1.0
        if self.graded:
            return TagCount()(completion) / 2
        return 0.0
