"""What a row asks: the text of its question, and the prompt that the model continues."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from recipes.core.errors import UserError
from recipes.core.prompts.messages import Prompt, drop_answer, read_conversation, to_messages

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Asked:
    """One question.

    Attributes:
        text: the question itself, without system prompt and examples.
        answered: whether the row's conversation went on with the answer.
    """

    text: str
    prompt: Prompt
    answered: bool = False


def read_questions(
    cells: Sequence[Any], where: str, system_prompt: str | None, plain: bool
) -> list[Asked | None]:
    """The question in each cell; `None` where there is none.

    Args:
        where: dataset and column, for messages.
        plain: whether a text is a prompt itself, and not what a user asks in a chat.

    Raises:
        UserError: names the row whose cell is neither a text nor a conversation.
    """
    asked = []
    for number, cell in enumerate(cells, start=1):
        try:
            asked.append(_read_question(cell, system_prompt, plain))
        except ValueError as error:
            raise UserError(
                f"{where}, row {number}: holds {error}; a question is a text or a list of "
                "messages. Write `question_column`"
            ) from error

    # TRL looks at the first prompt to decide whether all of them are conversations.
    found = [one for one in asked if one is not None]
    if len({isinstance(one.prompt, str) for one in found}) > 1:
        raise UserError(
            f"{where}: some rows are plain texts and others conversations; write only one of them"
        )

    # The policy must not see the answer.
    answered = sum(one.answered for one in found)
    if answered:
        logger.warning(
            "%s: %d of %d conversations end with the assistant's turn, which the prompts leave out",
            where,
            answered,
            len(found),
        )
    return asked


def _read_question(cell: Any, system_prompt: str | None, plain: bool) -> Asked | None:
    match cell:
        case None:
            return None
        case str():
            if not cell.strip():
                return None
            return Asked(cell, cell if plain else to_messages(cell, system_prompt))
        case list():
            return _read_last_turn(cell)
        case {"role": _} | {"from": _}:  # a message alone
            return _read_last_turn([cell])
        case dict():
            raise ValueError(f"a mapping with the keys {', '.join(map(str, cell))}")
    raise ValueError(f"the value {cell!r}")


def _read_last_turn(cell: list[Any]) -> Asked | None:
    """The question of a conversation: its last message that is no answer."""
    conversation = read_conversation(cell)
    messages = drop_answer(conversation)
    # The messages before the last one are examples and the system prompt.
    text = messages[-1]["content"] if messages else None
    if not text or not text.strip():
        return None
    return Asked(text, messages, answered=len(messages) < len(conversation))
