"""Is the completion getting too long?"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Overlong:
    """The soft punishment of DAPO (arXiv 2503.14476, equation 13), by tokens:

        0                                             up to max_tokens - cache_tokens
        (max_tokens - cache_tokens - n) / cache_tokens   from there to max_tokens
        -1                                            beyond max_tokens

    Parameters:
        max_tokens: where the punishment is full; usually `max_completion_length`.
        cache_tokens: length of the slope in front of it.
    """

    max_tokens: int
    cache_tokens: int

    def __post_init__(self) -> None:
        if not 0 < self.cache_tokens <= self.max_tokens:
            raise ValueError(
                f"cache_tokens {self.cache_tokens} must be from 1 to max_tokens {self.max_tokens}"
            )

    def __call__(self, completion: str, completion_ids: Sequence[int], **row: Any) -> float:
        left = self.max_tokens - self.cache_tokens - len(completion_ids)
        return max(min(left / self.cache_tokens, 0.0), -1.0)
