"""Questions with answers, from a hub id, a folder, a file, an address or a function.

One row of what `load_questions` returns, here from GSM8K:

    {"question": "Natalia sold clips to 48 of her friends ...", "answer": "72",
     "prompt": [{"role": "system", "content": "A conversation ..."},
                {"role": "user", "content": "Natalia sold ..."}],
     "question_id": "b5e1a6f9c3d2e804"}

The prompt is a plain text where TRL's column `prompt` holds one. The answer is a list of texts
where rows have several, and `None` where there are no golds. All other columns of the dataset stay,
so that a reward can use them.
"""

import hashlib
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from recipes.core.data.answers import answer_candidates, meaning_of_several, read_golds
from recipes.core.data.asked import Asked, read_questions
from recipes.core.data.cells import find_column, read_cells
from recipes.core.data.columns import replace_columns
from recipes.core.data.golds import Gold
from recipes.core.data.sources import SourceArguments, load_split, source_name
from recipes.core.errors import UserError

if TYPE_CHECKING:
    from datasets import Dataset

logger = logging.getLogger(__name__)

# Where questions are looked for; the second name is TRL's.
QUESTION_COLUMNS = ("question", "prompt")
PLAIN_COLUMN = "prompt"  # in which TRL's datasets have texts that are no questions of a chat

# How several answers of a row are meant.
ANSWER_IS = ("any", "set", "list")


@dataclass
class DataArguments(SourceArguments):
    """Keys that choose the questions, besides TRL's `dataset_name`, `dataset_train_split` ..."""

    question_column: str | None = None
    answer_column: str | None = None
    answer_pattern: str | None = None
    answer_is: str | None = None
    max_train_samples: int | None = None
    max_eval_samples: int | None = None
    max_prompt_length: int | None = None
    system_prompt: str | None = None
    chat_template: str | None = None


def load_questions(
    args: DataArguments, split: str, max_samples: int | None = None, needs_answer: bool = True
) -> "Dataset":
    """The rows of `split` with `question`, `answer`, `prompt` and `question_id`.

    Rows without a question, without an answer, or in which `answer_pattern` finds none, are left
    out and counted.

    Args:
        needs_answer: whether a dataset without golds is refused; otherwise each `answer` is `None`.

    Raises:
        UserError: names the dataset, the column and what there is, if nothing can be used.
    """
    if not args.dataset_name:
        raise UserError(
            "dataset_name is not set; write a hub id, a folder, a file, an address or "
            "package.module:function"
        )
    if args.answer_is not in (None, *ANSWER_IS):
        raise UserError(f"answer_is is {args.answer_is!r}; write {', '.join(ANSWER_IS)}")

    # Find the rows.
    dataset = load_split(args, split, golds=answer_candidates(args))
    if max_samples is not None:
        dataset = dataset.select(range(min(max_samples, len(dataset))))
    where = f"{source_name(args)}, split {split!r}"
    if len(dataset) == 0:
        raise UserError(f"{where} is empty")

    # Read the two columns that matter. A row without a question or a gold is left out.
    asked = _read_questions(dataset, args, where)
    golds = read_golds(dataset, args, where, needs_answer)
    rows = [row for row, one in enumerate(asked) if one is not None]
    if golds is None:
        golds = [None] * len(dataset)
    else:
        rows = [row for row in rows if golds[row] is not None]
    if not rows:
        raise UserError(f"{where}: no row has both a question and an answer")

    # Bring each row into the one form that all stages read.
    columns: dict[str, list[Any]] = {"question": [], "answer": [], "prompt": [], "question_id": []}
    for row in rows:
        question = asked[row]
        assert question is not None
        columns["question"].append(question.text)
        columns["answer"].append(golds[row])
        columns["prompt"].append(question.prompt)
        columns["question_id"].append(question_id(question.text, golds[row]))
    if any(isinstance(gold, list) for gold in columns["answer"]):
        columns["answer_is"] = [meaning_of_several(args, where)] * len(rows)
    if len(rows) < len(dataset):
        dataset = dataset.select(rows)
    return replace_columns(dataset, columns, where)


def question_id(question: str, answer: Gold | None) -> str:
    """What identifies a question in training, generation, evaluation and rollouts."""
    return hashlib.sha256(f"{question}\0{answer}".encode()).hexdigest()[:16]


def _read_questions(dataset: "Dataset", args: DataArguments, where: str) -> list[Asked | None]:
    """What each row asks; `None`, and counted, where it asks nothing."""
    column = find_column(dataset, "question_column", args.question_column, QUESTION_COLUMNS, where)
    where = f"{where}, column {column!r}"

    # TRL's prompts are continued as they are; a `question_column` has questions for a chat.
    plain = column == PLAIN_COLUMN and not args.question_column
    cells = read_cells(dataset, column, where)
    asked = read_questions(cells, where, args.system_prompt, plain)
    empty = [row for row, one in enumerate(asked, start=1) if one is None]
    if len(empty) == len(asked):
        raise UserError(f"{where}: has no questions")
    if empty:
        logger.warning(
            "%s: %d of %d rows have no question, the first is row %d; they are left out",
            where,
            len(empty),
            len(asked),
            empty[0],
        )
    if plain and any(one and isinstance(one.prompt, str) for one in asked):
        _check_plain_prompts(args, where)
    return asked


def _check_plain_prompts(args: DataArguments, where: str) -> None:
    """Says that plain texts are no chat; raises `UserError` if a system prompt is written."""
    advice = f"to ask them in a chat, write `question_column: {PLAIN_COLUMN}`"
    if args.system_prompt:
        raise UserError(
            f"{where}: its texts are continued as they are, without `system_prompt`; {advice}"
        )
    logger.info("%s: its texts are continued as they are, without a chat; %s", where, advice)
