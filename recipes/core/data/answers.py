"""The golds of a dataset: which column has them, which part of it, and what several mean."""

import logging
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from recipes.core.data.cells import find_column, has_column, read_cells
from recipes.core.data.golds import Gold, read_gold, unify_golds
from recipes.core.errors import UserError

if TYPE_CHECKING:
    from datasets import Dataset

    from recipes.core.data.questions import DataArguments

logger = logging.getLogger(__name__)

# Where answers are looked for; the second name is TRL's.
ANSWER_COLUMNS = ("answer", "solution")


def answer_candidates(args: "DataArguments") -> Sequence[str]:
    """The columns in which golds may be; one that the recipe names is the only one."""
    return [args.answer_column] if args.answer_column else ANSWER_COLUMNS


def read_golds(
    dataset: "Dataset", args: "DataArguments", where: str, needs_answer: bool
) -> list[Gold | None] | None:
    """The gold of each row; `None` for all of them if there are none, and none is needed."""
    # A recipe that names a column means it.
    is_needed = needs_answer or bool(args.answer_column)
    has_golds = any(has_column(dataset, name) for name in answer_candidates(args))
    if not (is_needed or has_golds):
        return None
    advice = ", or use only rewards that need no gold"
    written = args.answer_column
    column = find_column(dataset, "answer_column", written, ANSWER_COLUMNS, where, advice)
    where = f"{where}, column {column!r}"

    # Read the golds, each as text.
    pattern = _compile_pattern(args.answer_pattern)
    golds = []
    for number, cell in enumerate(read_cells(dataset, column, where), start=1):
        try:
            golds.append(extract_answer(cell, pattern))
        except ValueError as error:
            path = f"{column}.KEY" if isinstance(cell, dict) else "another column"
            raise UserError(
                f"{where}, row {number}: holds {error}; write `answer_column: {path}`"
            ) from error

    # A row without an answer cannot be scored.
    missing = golds.count(None)
    if missing == len(golds):
        if not (is_needed or pattern):
            return None
        problem = "has no answers"
        if pattern:
            problem = (
                f"answer_pattern {args.answer_pattern!r} matches none of the {missing} answers"
            )
        raise UserError(f"{where}: {problem}")
    if missing:
        logger.warning(
            "%s: %d of %d rows have no answer in %r and are left out",
            where,
            missing,
            len(golds),
            column,
        )
    return unify_golds(golds)


def extract_answer(value: Any, pattern: re.Pattern[str] | None) -> Gold | None:
    """The gold answer in a cell of the answer column; `None` if there is none.

    Raises:
        ValueError: the cell holds something that is no answer.
    """
    gold = read_gold(value)
    if pattern is None or gold is None:
        return gold
    # In the only text, or in each of several.
    if isinstance(gold, str):
        return _find_group(pattern, gold) or None
    found = [_find_group(pattern, text) for text in gold]
    return [text for text in found if text] or None


def _find_group(pattern: re.Pattern[str], text: str) -> str:
    """What the group of the pattern matches; empty if nothing."""
    match = pattern.search(text)
    if match is None or match[1] is None:
        return ""
    return match[1].strip()


def meaning_of_several(args: "DataArguments", where: str) -> str:
    """How a list of answers is read; says so if the recipe does not."""
    if args.answer_is:
        return args.answer_is
    logger.warning(
        "%s: rows have several answers, and one of them is enough; if all of them are needed, "
        "write `answer_is: set`, or `answer_is: list` for their order",
        where,
    )
    return "any"


def _compile_pattern(pattern: str | None) -> re.Pattern[str] | None:
    """The compiled `answer_pattern`, checked to have the one group that is the answer."""
    if not pattern:
        return None
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise UserError(
            f"answer_pattern {pattern!r} is not a regular expression: {error}"
        ) from error
    # The group says which part of the column is the answer.
    if compiled.groups != 1:
        raise UserError(f"answer_pattern {pattern!r} must have one group, has {compiled.groups}")
    return compiled
