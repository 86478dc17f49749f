"""The control: random rewards, independent of the completion."""

import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass

from rewards.interface import BatchReward, Row, ScoredBatch


@dataclass(frozen=True)
class Random(BatchReward):
    """1.0 or 0.0 at random, whatever the completion is.

    The control of arXiv 2506.10947: some models improve even with it. The scores of a batch are
    seeded by its completions, so a run can be repeated.

    Parameters:
        probability: of 1.0.
    """

    probability: float = 0.5

    def __post_init__(self) -> None:
        if not 0 <= self.probability <= 1:
            raise ValueError(f"probability is {self.probability}; write a number from 0 to 1")

    def score_batch(self, completions: Sequence[str], rows: Sequence[Row]) -> ScoredBatch:
        # "surrogatepass": a completion may end in half a character.
        text = "\0".join(completions).encode("utf-8", "surrogatepass")
        rng = random.Random(hashlib.sha256(text).digest())
        return ScoredBatch([float(rng.random() < self.probability) for _ in completions])
