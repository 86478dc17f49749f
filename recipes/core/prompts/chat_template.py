"""Chat templates: where they come from, and what they make of a conversation."""

import functools
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recipes.core.errors import UserError, one_line
from recipes.core.paths import CHAT_TEMPLATES

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

logger = logging.getLogger(__name__)

R1_ZERO_TEMPLATE = "r1_zero.jinja"
# What a template has and the name of a file has not.
INLINE_MARKS = ("\n", "{{", "{%", "{#")
ASK_WITHOUT_SYSTEM_PROMPT = "write `system_prompt: ''`"


def read_template(value: str) -> str:
    """The text of the chat template `value`: a template in the YAML itself, or the name of a file.

    Files are looked for in the current folder and among the templates of this repository.
    """
    # TRL's and open-r1's recipes hold the template itself.
    if any(mark in value for mark in INLINE_MARKS):
        return value
    for path in (Path(value), CHAT_TEMPLATES / value):
        if os.path.isfile(path):  # unlike Path.is_file, also for a name that is too long
            return path.read_text(encoding="utf-8")
    raise UserError(
        f"chat_template: there is no file {value!r}, here or in {CHAT_TEMPLATES}; "
        "a template in the YAML itself has `{{` or `{%`"
    )


def set_template(tokenizer: "PreTrainedTokenizerBase", value: str | None) -> None:
    """Gives the tokenizer the chat template `value`, or DeepSeek-R1-Zero's if it has none.

    Rendered text is tokenized as it is, so that a template must write the token that a tokenizer
    begins every text with: r1_zero.jinja does so here, and of another template it is said.
    """
    if not value and tokenizer.chat_template is not None:
        return
    tokenizer.chat_template = read_template(value or R1_ZERO_TEMPLATE)
    if not begins_with_bos(tokenizer):
        return
    if tokenizer.chat_template == read_template(R1_ZERO_TEMPLATE):
        tokenizer.chat_template = "{{- bos_token -}}" + tokenizer.chat_template

    # A template of the user's own is used as it is.
    prompt = render_conversation(tokenizer, [{"role": "user", "content": "7"}])
    if not prompt.startswith(str(tokenizer.bos_token)):
        logger.warning(
            "chat_template: prompts do not begin with %s, although the tokenizer begins every "
            "text with it; begin the template with {{ bos_token }}",
            tokenizer.bos_token,
        )


def begins_with_bos(tokenizer: "PreTrainedTokenizerBase") -> bool:
    """Whether the tokenizer begins every text with its BOS token, as Llama's and Gemma's do.

    Others have one that they do not use, such as GPT-2's.
    """
    if tokenizer.bos_token_id is None:
        return False
    return bool(tokenizer("7")["input_ids"][:1] == [tokenizer.bos_token_id])


def render_conversation(
    tokenizer: "PreTrainedTokenizerBase",
    messages: Sequence[dict[str, Any]],
    without_system: str = ASK_WITHOUT_SYSTEM_PROMPT,
    **options: Any,
) -> str:
    """The text that the chat template makes of `messages`.

    Args:
        without_system: how the user does without a system message, for the error.
        options: of `apply_chat_template`, such as `tools`.

    Raises:
        UserError: the template cannot render them; says whether the system message is why.
    """
    try:
        text = _render(tokenizer, messages, options)
    except ValueError as error:
        # The same conversation without its system message.
        others = [message for message in messages if message["role"] != "system"]
        if len(others) < len(messages) and _can_render(tokenizer, others, options):
            raise UserError(
                f"the chat template takes no system prompt ({error}); {without_system} "
                f"or `chat_template: {R1_ZERO_TEMPLATE}`"
            ) from error
        roles = ", ".join(str(message["role"]) for message in messages)
        raise UserError(
            f"the chat template cannot render a conversation of {roles} ({error}); "
            f"write another `chat_template`, such as {R1_ZERO_TEMPLATE}"
        ) from error

    # Some templates leave out what they do not know.
    if messages[0]["role"] == "system":
        system_prompt = messages[0]["content"]
        if isinstance(system_prompt, str) and system_prompt.strip() not in text:
            _warn_of_lost_system_prompt(str(tokenizer.chat_template))
    return text


def _render(
    tokenizer: "PreTrainedTokenizerBase",
    messages: Sequence[dict[str, Any]],
    options: dict[str, Any],
) -> str:
    """The rendered text. Raises `ValueError` for whatever a template raises, in one line."""
    from jinja2 import TemplateError

    try:
        return str(tokenizer.apply_chat_template(list(messages), tokenize=False, **options))
    except (TemplateError, TypeError, ValueError) as error:
        # A TypeError is a template's, too: it joins text with null, or with a list.
        raise ValueError(one_line(error, 200)) from error


def _can_render(
    tokenizer: "PreTrainedTokenizerBase",
    messages: Sequence[dict[str, Any]],
    options: dict[str, Any],
) -> bool:
    try:
        _render(tokenizer, messages, options)
    except ValueError:
        return False
    return True


@functools.cache
def _warn_of_lost_system_prompt(template: str) -> None:
    """Warns once for each template."""
    logger.warning(
        "chat_template: it leaves the system prompt out; write `system_prompt: ''`, "
        "or a template that shows it, such as %s",
        R1_ZERO_TEMPLATE,
    )
