"""Questions with answers, from a hub id, a folder, a file or a function.

One row of what `load_questions` returns, here from GSM8K:

    {"question": "Natalia sold clips to 48 of her friends ...", "answer": "72",
     "prompt": [{"role": "system", "content": "A conversation ..."},
                {"role": "user", "content": "Natalia sold ..."}],
     "question_id": "b5e1a6f9c3d2e804"}

All other columns of the dataset stay, so that a reward can use them.
"""

import hashlib
import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from trl import ScriptArguments

from recipes.core.data.sources import load_split
from recipes.core.errors import UserError
from recipes.core.prompts.messages import to_messages

if TYPE_CHECKING:
    from datasets import Dataset

logger = logging.getLogger(__name__)

# Where questions and answers are looked for; the second name of each is TRL's.
QUESTION_COLUMNS = ("question", "prompt")
ANSWER_COLUMNS = ("answer", "solution")


@dataclass
class DataArguments(ScriptArguments):
    """Keys that choose the questions, besides TRL's `dataset_name`, `dataset_train_split` ..."""

    question_column: str | None = None
    answer_column: str | None = None
    answer_pattern: str | None = None
    max_train_samples: int | None = None
    max_eval_samples: int | None = None
    max_prompt_length: int | None = None
    system_prompt: str | None = None
    chat_template: str | None = None


def load_questions(args: DataArguments, split: str, max_samples: int | None = None) -> "Dataset":
    """The rows of `split` with `question`, `answer`, `prompt` (chat messages) and `question_id`.

    Rows without an answer, or in which `answer_pattern` finds none, are left out and counted.

    Raises:
        UserError: names the dataset, the column and what there is, if nothing can be used.
    """
    name = args.dataset_name
    if not name:
        raise UserError(
            "dataset_name is not set; write a hub id, a folder, a file or package.module:function"
        )

    # Find the rows, and the two columns that matter.
    dataset = load_split(args, split)
    question_column = _find_column(dataset, args, "question_column", QUESTION_COLUMNS)
    answer_column = _find_column(dataset, args, "answer_column", ANSWER_COLUMNS)
    if max_samples is not None:
        dataset = dataset.select(range(min(max_samples, len(dataset))))
    if len(dataset) == 0:
        raise UserError(f"{name}: split {split!r} is empty")

    # Bring each row into the one form that all stages read.
    pattern = _compile_pattern(args.answer_pattern)

    def convert(row: dict[str, Any]) -> dict[str, Any]:
        messages = to_messages(row[question_column], args.system_prompt)
        # The last message is the question; those before it are examples and the system prompt.
        question = messages[-1]["content"]
        answer = extract_answer(row[answer_column], pattern)
        return {
            "question": question,
            "answer": answer,
            "prompt": messages,
            "question_id": question_id(question, answer),
        }

    converted = dataset.map(convert, desc=f"reading {name}", keep_in_memory=True)

    # A row without an answer cannot be scored.
    answered = converted.filter(bool, input_columns="answer", keep_in_memory=True)
    if len(answered) == 0:
        problem = "has no answers"
        if pattern:
            problem = (
                f"answer_pattern {args.answer_pattern!r} matches none of the {len(dataset)} answers"
            )
        raise UserError(f"{name}, split {split!r}, column {answer_column!r}: {problem}")
    if len(answered) < len(dataset):
        logger.warning(
            "%s: %d of %d rows have no answer in %r and are left out",
            name,
            len(dataset) - len(answered),
            len(dataset),
            answer_column,
        )
    return answered


def extract_answer(value: Any, pattern: re.Pattern[str] | None) -> str | None:
    """The gold answer in a cell of the answer column; `None` if there is none."""
    if pattern:
        found = pattern.search(str(value))
        if found is None:
            return None
        return found[1].strip()
    if value is None:
        return None
    return str(value).strip()


def question_id(question: str, answer: str | None) -> str:
    """What identifies a question in training, generation, evaluation and rollouts."""
    return hashlib.sha256(f"{question}\0{answer}".encode()).hexdigest()[:16]


def _find_column(
    dataset: "Dataset", args: DataArguments, key: str, usual_names: Sequence[str]
) -> str:
    """The column that `key` names, else the first of `usual_names` that there is."""
    # A column that the recipe names is the only candidate.
    candidates = usual_names
    if getattr(args, key):
        candidates = [getattr(args, key)]
    for column in candidates:
        if column in dataset.column_names:
            return column
    raise UserError(
        f"{args.dataset_name}: there is no column {candidates[0]!r}; "
        f"there are: {', '.join(dataset.column_names)}. Write `{key}`"
    )


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
