"""Rows in TRL's forms, which SFT learns: which columns they need, and what is in each of them.

| form | columns |
|---|---|
| prompt and completion, texts or messages | `prompt`, `completion` |
| a conversation | `messages` |
| a text | `text`, or another one that `dataset_text_field` names |
| tokens | `input_ids` |
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from recipes.core.errors import UserError
from recipes.core.prompts.chat_template import render_conversation
from recipes.core.prompts.messages import drop_answer

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedTokenizerBase

# What a column must hold, for messages.
_MESSAGES = "messages, a list of objects with `role` and `content`"
_WANTED = {
    "messages": f"write {_MESSAGES}",
    "prompt": f"write a text or {_MESSAGES}",
    "completion": f"write a text or {_MESSAGES}",
    "input_ids": "write a list of tokens",
}
# What TRL's SFTTrainer reads besides the columns of a form.
_BESIDES = (
    *("tools", "chat_template_kwargs"),  # for the chat template
    *("image", "images"),
    *("labels", "completion_mask", "assistant_masks"),  # of tokens
)


def take_sft_columns(dataset: "Dataset", source: str, text_field: str) -> "Dataset":
    """The columns that TRL's SFTTrainer learns from, as they are; checks that every row has them.

    Args:
        source: the name of the dataset, for messages.
        text_field: the column of plain texts.

    Raises:
        UserError: names the columns or the row that cannot be learnt.
    """
    if len(dataset) == 0:
        raise UserError(f"{source}: has no rows, so there is nothing to learn")
    # Other columns, such as the problem's level, are nothing to TRL.
    columns = _columns_of_form(dataset, source, text_field)
    extras = [name for name in _BESIDES if name in dataset.column_names]
    dataset = dataset.select_columns([*columns, *extras])

    # TRL looks at the first row, and takes all others for the same.
    first_kinds = _kinds(dataset[0], columns)
    for number, row in enumerate(dataset, start=1):
        problem = _find_problem(row, columns, first_kinds)
        if problem:
            raise UserError(f"{source}, row {number}: {problem}")

    # Messages, and the reply to them as a text, as in the traces that `generate` writes.
    if "completion" in columns and _is_text_reply(dataset[0]):
        dataset = dataset.map(_to_message, remove_columns="completion")
    # TRL passes these on as keyword arguments, also where a row has none.
    if "chat_template_kwargs" in extras:
        dataset = dataset.map(_fill_template_kwargs)
    return dataset


def _columns_of_form(dataset: "Dataset", source: str, text_field: str) -> tuple[str, ...]:
    """The columns of the first of TRL's forms that the dataset has, in TRL's order."""
    for form in (("input_ids",), ("prompt", "completion"), ("messages",), (text_field,)):
        if set(form) <= set(dataset.column_names):
            return form
    raise UserError(
        f"{source}: has the columns {', '.join(dataset.column_names)}; sft learns `messages` (with "
        f"`role` and `content`), or `prompt` and `completion`, or a text in {text_field!r} "
        "(`dataset_text_field` names another column)"
    )


def _kinds(row: Mapping[str, Any], columns: Iterable[str]) -> list[str | None]:
    """What each column holds: a text, messages, tokens, or nothing that can be learnt."""
    return [_kind(column, row[column]) for column in columns]


def _kind(column: str, value: Any) -> str | None:
    if column == "input_ids":
        return "tokens" if isinstance(value, list) and value else None
    if isinstance(value, str):
        return None if column == "messages" else "a text"
    is_conversation = column in ("messages", "prompt", "completion") and _are_messages(value)
    return "messages" if is_conversation else None


def _find_problem(
    row: Mapping[str, Any], columns: Sequence[str], first_kinds: Sequence[str | None]
) -> str | None:
    """Why TRL could not learn a row, or `None`."""
    # What is there ...
    kinds = _kinds(row, columns)
    for column, kind in zip(columns, kinds, strict=True):
        if kind is None:
            return f"{column!r} is {_shorten(row[column])}; {_WANTED.get(column, 'write a text')}"
    # ... must go together, in the row and with the first one.
    if kinds == ["a text", "messages"]:
        return "'prompt' is a text and 'completion' is not; write both as texts, or as messages"
    if kinds != list(first_kinds):
        return f"has {' and '.join(map(str, kinds))}, unlike row 1; write all rows alike"

    # TRL takes tools as JSON, too.
    tools = row.get("tools")
    try:
        is_list = isinstance(json.loads(tools) if isinstance(tools, str) else tools, list | None)
    except ValueError:
        is_list = False
    return None if is_list else f"'tools' is {_shorten(tools)}; write a list of JSON schemas"


def _shorten(value: Any) -> str:
    return json.dumps(value, default=str, ensure_ascii=False)[:80]


def _are_messages(value: Any) -> bool:
    if not isinstance(value, list) or not value:
        return False
    return all(isinstance(message, dict) and message.get("role") for message in value)


def _is_text_reply(row: Mapping[str, Any]) -> bool:
    return isinstance(row["prompt"], list) and isinstance(row["completion"], str)


def _to_message(row: Mapping[str, Any]) -> dict[str, Any]:
    return {"completion": [{"role": "assistant", "content": row["completion"]}]}


def _fill_template_kwargs(row: Mapping[str, Any]) -> dict[str, Any]:
    return {"chat_template_kwargs": row["chat_template_kwargs"] or {}}


def count_tokens(
    row: Mapping[str, Any], tokenizer: "PreTrainedTokenizerBase", text_field: str = "text"
) -> int:
    """The tokens of a whole row, as TRL's SFTTrainer tokenizes it."""
    if "input_ids" in row:
        return len(row["input_ids"])
    whole = _whole(row, text_field)

    # Plain text, to which TRL adds the end-of-sequence token.
    if isinstance(whole, str):
        ends = whole.endswith(str(tokenizer.eos_token))
        return len(tokenizer(whole)["input_ids"]) + (0 if ends else 1)

    # Chat messages, to which the chat template adds everything.
    text = render_conversation(
        tokenizer, whole, "leave system messages out of the rows", **template_options(row)
    )
    return len(tokenizer(text, add_special_tokens=False)["input_ids"])


def template_options(row: Mapping[str, Any]) -> dict[str, Any]:
    """What a row gives to the chat template besides its messages."""
    tools = row.get("tools")
    # TRL takes tools as JSON, too.
    if isinstance(tools, str):
        tools = json.loads(tools)
    return {"tools": tools, **(row.get("chat_template_kwargs") or {})}


def question_of(row: Mapping[str, Any], text_field: str = "text") -> Any:
    """What a row asks: rows that ask the same are held out together."""
    if "input_ids" in row:
        return row["input_ids"]
    if "prompt" in row:
        return row["prompt"]
    whole = _whole(row, text_field)
    return whole if isinstance(whole, str) else drop_answer(whole)


def _whole(row: Mapping[str, Any], text_field: str) -> Any:
    """The text of a row, or its messages."""
    if "prompt" in row:
        return row["prompt"] + row["completion"]
    return row["messages"] if "messages" in row else row[text_field]
