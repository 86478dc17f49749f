"""Loads a tokenizer that can render a conversation, pad a batch, and end a turn."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recipes.core.errors import UserError, one_line
from recipes.core.prompts.chat_template import render_conversation, set_template
from recipes.core.runtime.console import hide_loading_bars

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

logger = logging.getLogger(__name__)


def load_tokenizer(
    model: str | Path,
    chat_template: str | None = None,
    key: str = "model_name_or_path",
    **kwargs: Any,
) -> "PreTrainedTokenizerBase":
    """The model's tokenizer, with a chat template, an end-of-sequence and a padding token.

    The chat template is `chat_template` (a file, or a template itself), else the tokenizer's own,
    else DeepSeek-R1-Zero's; it is saved with every model that is trained with it.

    Args:
        key: the configuration key that names the model, for messages.
        kwargs: for `from_pretrained`, such as the revision.
    """
    from transformers import AutoTokenizer

    hide_loading_bars()  # before the first model is loaded
    try:
        tokenizer = AutoTokenizer.from_pretrained(model, **kwargs)
    except (OSError, ValueError) as error:
        raise UserError(
            f"{key} {str(model)!r}: cannot load its tokenizer: {one_line(error, 300)}"
        ) from error

    # The chat template, which must come before the tokens that it ends a turn with.
    set_template(tokenizer, chat_template)

    # The special tokens that sampling and training need: one that ends a reply, one that pads.
    # A template that writes the one that ends a reply cannot be rendered without it.
    if tokenizer.eos_token is not None or "eos_token" not in str(tokenizer.chat_template):
        _align_end_of_sequence(tokenizer)
    if tokenizer.eos_token_id is None:
        raise UserError(
            f"{key} {str(model)!r}: its tokenizer has no end-of-sequence token, so no reply could "
            "end; write `eos_token` to its tokenizer_config.json"
        )
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    tokenizer.padding_side = "left"  # for sampling, which continues at the right end
    return tokenizer


def _align_end_of_sequence(tokenizer: "PreTrainedTokenizerBase") -> None:
    """Makes the special token that ends a turn in the chat template the end-of-sequence token.

    ChatML templates of base models end a turn with another token than the tokenizer's own;
    generation would never stop there.
    """
    end = _end_of_turn(tokenizer)
    if end is None or end == tokenizer.eos_token_id:
        return
    name = tokenizer.decode([end])
    logger.info("%s, which ends a turn, is now the end-of-sequence token", name)
    tokenizer.eos_token = tokenizer.convert_ids_to_tokens(end)


def _end_of_turn(tokenizer: "PreTrainedTokenizerBase") -> int | None:
    """The first special token after the assistant's text, if there is one."""
    # Render a conversation around a text that tokenizers and templates keep as it is.
    text = "7"
    turn = [{"role": "user", "content": text}, {"role": "assistant", "content": text}]
    _, written, after = render_conversation(tokenizer, turn).rpartition(text)
    if not written:
        raise UserError(
            "chat_template: it writes nothing of a conversation; a template loops over `messages`"
        )

    # What the template writes after its last occurrence ends the assistant's turn.
    for token in tokenizer(after, add_special_tokens=False)["input_ids"]:
        if token in tokenizer.all_special_ids:
            return int(token)
    return None
