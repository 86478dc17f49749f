"""Is the answer this very text?"""

from dataclasses import dataclass
from typing import Any

from rewards.completion import parse_completion


@dataclass(frozen=True)
class Exact:
    """1.0 if the text of the answer block is the gold answer, else 0.0; `None` without a gold.

    Runs of white space count as one space. For answers that are words, codes or labels: nothing is read as mathematics.

    Parameters:
        ignore_case: whether `Paris` and `PARIS` are the same.
    """

    ignore_case: bool = False

    def __call__(self, completion: str, answer: Any, **row: Any) -> float | None:
        gold, trace = (
            "" if answer is None else self._normal(str(answer)),
            parse_completion(completion),
        )
        if not gold:
            return None
        return float(trace is not None and self._normal(trace.answer) == gold)

    def _normal(self, text: str) -> str:
        text = " ".join(text.split())
        return text.casefold() if self.ignore_case else text
