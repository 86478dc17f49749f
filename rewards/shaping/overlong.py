"""Soft penalty for completions that approach the length limit."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar


@dataclass(frozen=True)
class Overlong:
    """The soft overlong punishment of DAPO (arXiv 2503.14476, equation 13), in tokens:

        0                                                up to max_tokens - cache_tokens
        (max_tokens - cache_tokens - n) / cache_tokens   from there to max_tokens
        -1                                               beyond max_tokens

    Parameters:
        max_tokens: length at which the penalty is full; usually `max_completion_length`.
        cache_tokens: length of the slope before it.
    """

    max_tokens: int
    cache_tokens: int

    best_score: ClassVar[float | None] = 0.0

    def __post_init__(self) -> None:
        if not 0 < self.cache_tokens <= self.max_tokens:
            raise ValueError(
                f"cache_tokens {self.cache_tokens} must be from 1 to max_tokens {self.max_tokens}"
            )

    def __call__(self, completion: str, completion_ids: Sequence[int], **row: Any) -> float:
        remaining = self.max_tokens - self.cache_tokens - len(completion_ids)
        return max(min(remaining / self.cache_tokens, 0.0), -1.0)
