"""Exact match: the answer is this very text."""

from dataclasses import dataclass
from typing import Any, ClassVar

from rewards.audit_cases import NEAR_42, AuditExample
from rewards.completion import parse_completion


@dataclass(frozen=True)
class Exact:
    """1.0 if the text of the answer block is the gold answer, else 0.0.

    `None` without a gold answer. Runs of white space count as one space. For answers that are
    words, codes or labels: nothing is read as mathematics. Several answers (`answer_is`, see
    rewards/answers/several.py) are divided by commas.

    Parameters:
        ignore_case: whether `Paris` and `PARIS` are the same.
    """

    ignore_case: bool = False

    audit_example: ClassVar[AuditExample] = AuditExample(
        {"answer": "42"}, right="42", wrong={**NEAR_42, "42.0": "42.0"}
    )

    def __call__(self, completion: str, answer: Any, **row: Any) -> float | None:
        answers = answer if isinstance(answer, list | tuple) else [answer]
        golds = [self._normalize(str(one)) for one in answers if one is not None]
        if not any(golds):
            return None
        parsed = parse_completion(completion)
        if parsed is None:
            return 0.0
        if len(golds) == 1:
            return float(self._normalize(parsed.answer) == golds[0])
        return float(self._is_one_of_several(parsed.answer, golds, row.get("answer_is")))

    def _is_one_of_several(self, answer: str, golds: list[str], answer_is: str | None) -> bool:
        given = [self._normalize(part) for part in answer.split(",")]
        if answer_is == "list":
            return given == golds
        is_one = answer_is == "any" and self._normalize(answer) in golds
        return is_one or sorted(given) == sorted(golds)

    def _normalize(self, text: str) -> str:
        text = " ".join(text.split())
        return text.casefold() if self.ignore_case else text
