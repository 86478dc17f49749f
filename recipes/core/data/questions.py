"""Questions with answers, from a hub id, a folder, a file or a function: always the columns `question` and `answer`.

One row of what `load_questions` returns, here from GSM8K:

    {"question": "Natalia sold clips to 48 of her friends ...", "answer": "72",
     "prompt": [{"role": "system", "content": "A conversation ..."}, {"role": "user", "content": "Natalia sold ..."}]}

All other columns of the dataset stay, so that a reward can use them.
"""

import logging
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from trl import ScriptArguments

from recipes.core.data.sources import load_split
from recipes.core.errors import UserError

if TYPE_CHECKING:
    from datasets import Dataset

logger = logging.getLogger(__name__)


@dataclass
class DataArguments(ScriptArguments):
    """Keys that say which questions are asked, and how (besides TRL's `dataset_name`, `dataset_train_split` ...)."""

    question_column: str | None = field(
        default=None, metadata={"help": "Default: `question`, or TRL's `prompt`."}
    )
    answer_column: str | None = field(
        default=None, metadata={"help": "Default: `answer`, or TRL's `solution`."}
    )
    answer_pattern: str | None = field(
        default=None,
        metadata={
            "help": "Regular expression with one group that finds the answer, such as '####\\s*(.+)'."
        },
    )
    max_train_samples: int | None = field(
        default=None, metadata={"help": "Use only the first so many training questions."}
    )
    max_eval_samples: int | None = field(
        default=None, metadata={"help": "Use only the first so many held-out questions."}
    )
    max_prompt_length: int | None = field(
        default=None, metadata={"help": "Leave out longer prompts, in tokens."}
    )
    system_prompt: str | None = field(
        default=None, metadata={"help": "Default: DeepSeek-R1-Zero's. Empty: none."}
    )
    chat_template: str | None = field(
        default=None,
        metadata={
            "help": "Path of a Jinja file. Default: the tokenizer's own, else r1_zero.jinja."
        },
    )


def load_questions(args: DataArguments, split: str, max_samples: int | None = None) -> "Dataset":
    """The rows of `split` with `question` (str), `answer` (str) and `prompt` (messages).

    Rows whose answer `answer_pattern` does not find are left out, counted and said. Raises `UserError` naming the dataset, the
    column and what is there if nothing can be made of it.
    """
    from recipes.core.prompts.messages import to_messages

    name = args.dataset_name
    if not name:
        raise UserError(
            "dataset_name is not set; write a hub id, a folder, a file or package.module:function"
        )
    dataset = load_split(args, split)
    question = _find_column(
        dataset, name, "question_column", args.question_column, ("question", "prompt")
    )
    answer = _find_column(
        dataset, name, "answer_column", args.answer_column, ("answer", "solution")
    )
    if max_samples is not None:
        dataset = dataset.select(range(min(max_samples, len(dataset))))
    pattern = _compile_pattern(args.answer_pattern)

    def convert(row: dict[str, Any]) -> dict[str, Any]:
        found = pattern.search(str(row[answer])) if pattern else None
        gold = (
            found[1].strip()
            if found
            else None
            if pattern or row[answer] is None
            else str(row[answer]).strip()
        )
        messages = to_messages(row[question], args.system_prompt)
        return {"question": messages[-1]["content"], "answer": gold, "prompt": messages}

    total = len(dataset)
    dataset = dataset.map(convert, desc=f"reading {name}", keep_in_memory=True)
    dataset = dataset.filter(lambda gold: bool(gold), input_columns="answer", keep_in_memory=True)
    if len(dataset) == 0:
        why = (
            f"answer_pattern {args.answer_pattern!r} matches none of the {total} answers"
            if pattern
            else "has no answer"
        )
        raise UserError(
            f"{name}, split {split!r}, column {answer!r}: {why}"
            if total
            else f"{name}: split {split!r} is empty"
        )
    if len(dataset) < total:
        logger.warning(
            "%s: %d of %d rows have no answer in %r and are left out",
            name,
            total - len(dataset),
            total,
            answer,
        )
    return dataset


def _find_column(
    dataset: "Dataset", name: str, key: str, given: str | None, usual: tuple[str, ...]
) -> str:
    for column in [given] if given else usual:
        if column in dataset.column_names:
            return column
    raise UserError(
        f"{name}: there is no column {given or usual[0]!r}; there are: {', '.join(dataset.column_names)}. Write `{key}`"
    )


def _compile_pattern(pattern: str | None) -> re.Pattern[str] | None:
    try:
        compiled = re.compile(pattern) if pattern else None
    except re.error as error:
        raise UserError(
            f"answer_pattern {pattern!r} is not a regular expression: {error}"
        ) from error
    if compiled and compiled.groups != 1:
        raise UserError(f"answer_pattern {pattern!r} must have one group, has {compiled.groups}")
    return compiled
