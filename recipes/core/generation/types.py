"""Records of sampling: a completion as a model returns it, and a sample as it is stored."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NotRequired, TypedDict

from recipes.core.prompts.messages import Prompt


@dataclass(frozen=True)
class Completion:
    """One completion.

    Attributes:
        text: without special tokens.
        tokens: its length.
        finished: whether the model ended it; `False` if it was truncated.
    """

    text: str
    tokens: int
    finished: bool


class Sample(TypedDict):
    """One row of generations.jsonl and completions/*.jsonl: a completion and its scores.

    A score is 1.0, 0.0, or `None` where the completion cannot be scored.
    """

    question_id: str
    sample_index: int  # which of the question's completions it is
    question: str
    answer: str | list[str] | None  # None where there are no golds
    prompt: Prompt
    completion: str
    tokens: int
    finished: bool
    correct: NotRequired[float | None]
    format: NotRequired[float | None]
    flexible: NotRequired[float | None]  # correct, wherever the answer appears after the thinking


def group_by_question(samples: Iterable[Sample]) -> dict[str, list[Sample]]:
    """The samples of each question, in order."""
    groups: dict[str, list[Sample]] = defaultdict(list)
    for sample in samples:
        groups[sample["question_id"]].append(sample)
    return groups
