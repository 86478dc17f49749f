"""Golds with several answers: a row's `answer` is then a list, and `answer_is` says what it means.

any     one of them is enough; all of them, in any order, are right, too
set     all of them, in any order (also without `answer_is`)
list    all of them, in this order
"""

import re
from collections.abc import Callable, Sequence
from typing import Any

from rewards.interface import Row, ScoredBatch

ScoreBatch = Callable[[Sequence[str], Sequence[Row]], ScoredBatch]

_THOUSANDS = re.compile(r"-?\d{1,3}(?:,\d{3})+(?:\.\d+)?")  # matches: 10,000  -1,234.5


def score_each_answer(
    score_batch: ScoreBatch, completions: Sequence[str], rows: Sequence[Row]
) -> ScoredBatch:
    """The scores of a reward that compares with one gold, in one batch for all golds of all rows.

    A completion earns its best score. It has none if it earned nothing, and one of the golds cannot
    be read: that one may have been the right one.
    """
    # Each completion once for every gold of its row.
    expanded = []
    for index, row in enumerate(rows):
        for gold in _alternatives(row.get("answer"), row.get("answer_is")):
            expanded.append((index, {**row, "answer": gold}))
    batch = score_batch([completions[index] for index, _ in expanded], [row for _, row in expanded])
    if len(expanded) == len(rows):
        return batch

    # Its best score.
    found: list[list[float | None]] = [[] for _ in rows]
    for (index, _), score in zip(expanded, batch.scores, strict=True):
        found[index].append(score)
    return ScoredBatch([best_score(scores) for scores in found], batch.timed_out, batch.failed)


def join_answers(answer: Any) -> str:
    """All answers of a list as one text."""
    return ", ".join(_without_thousands(str(one)) for one in answer)


def describe_answers(answer: Any, answer_is: str | None) -> str:
    """The gold in words, for a judge."""
    if not isinstance(answer, list | tuple):
        return str(answer)
    if answer_is == "any":
        return " or ".join(map(str, answer))
    if answer_is == "list":
        return join_answers(answer) + " (in this order)"
    return join_answers(answer)


def _alternatives(answer: Any, answer_is: str | None) -> list[Any]:
    """The golds of a row, each of which is right."""
    if not isinstance(answer, list | tuple) or len(answer) < 2:
        return [answer]
    if answer_is == "list":
        return [f"({join_answers(answer)})"]  # a tuple has an order
    together = join_answers(answer)
    if answer_is == "any":
        return [*answer, together]
    return [together]


def best_score(scores: Sequence[float | None]) -> float | None:
    """The score of an answer by its scores for each gold of which one is enough."""
    known = [score for score in scores if score is not None]
    if len(known) < len(scores) and not any(known):
        return None
    return max(known, default=None)


def _without_thousands(text: str) -> str:
    """A number without the commas that would divide it in a list."""
    if _THOUSANDS.fullmatch(text.strip(" $")):
        return text.replace(",", "")
    return text
