"""Exact match: the answer is this very text."""

from dataclasses import dataclass
from typing import Any, ClassVar

from rewards.audit_cases import NEAR_42, AuditExample
from rewards.completion import parse_completion


@dataclass(frozen=True)
class Exact:
    """1.0 if the text of the answer block is the gold answer, else 0.0.

    `None` without a gold answer. Runs of white space count as one space. For answers that are
    words, codes or labels: nothing is read as mathematics.

    Parameters:
        ignore_case: whether `Paris` and `PARIS` are the same.
    """

    ignore_case: bool = False

    audit_example: ClassVar[AuditExample] = AuditExample(
        {"answer": "42"}, right="42", wrong={**NEAR_42, "42.0": "42.0"}
    )

    def __call__(self, completion: str, answer: Any, **row: Any) -> float | None:
        gold = "" if answer is None else self._normalize(str(answer))
        if not gold:
            return None
        parsed = parse_completion(completion)
        if parsed is None:
            return 0.0
        return float(self._normalize(parsed.answer) == gold)

    def _normalize(self, text: str) -> str:
        text = " ".join(text.split())
        return text.casefold() if self.ignore_case else text
