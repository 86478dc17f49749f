"""How a question is put to a model: the system prompt, the chat template, and where the model's turn starts and ends."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recipes.core.errors import UserError
from recipes.core.paths import ROOT

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

logger = logging.getLogger(__name__)


R1_ZERO_TEMPLATE = ROOT / "recipes" / "defaults" / "chat_templates" / "r1_zero.jinja"


def load_tokenizer(
    model: str | Path,
    chat_template: str | None = None,
    key: str = "model_name_or_path",
    **kwargs: Any,
) -> "PreTrainedTokenizerBase":
    """The model's tokenizer, able to render a conversation and to pad. `key` is what messages call the model.

    The template is the file `chat_template`, else the tokenizer's own, else DeepSeek-R1-Zero's. It is saved with everything
    that is trained with it. Where the template ends a turn with a special token that is not the tokenizer's end-of-sequence
    token (ChatML templates of base models), that token becomes it: else a model that ends its turn would never be heard.
    """
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(model, **kwargs)
    except (OSError, ValueError) as error:
        raise UserError(
            f"{key} {str(model)!r}: cannot load its tokenizer: {' '.join(str(error).split())[:300]}"
        ) from error
    if chat_template:
        path = next(
            (
                p
                for p in (Path(chat_template), R1_ZERO_TEMPLATE.parent / chat_template)
                if p.is_file()
            ),
            None,
        )
        if path is None:
            raise UserError(
                f"chat_template: there is no file {chat_template!r}, here or in {R1_ZERO_TEMPLATE.parent}"
            )
        tokenizer.chat_template = path.read_text(encoding="utf-8")
    elif tokenizer.chat_template is None:
        tokenizer.chat_template = R1_ZERO_TEMPLATE.read_text(encoding="utf-8")
    end = _end_of_turn(tokenizer)
    if end is not None and end != tokenizer.eos_token_id:
        logger.info(
            "the chat template ends a turn with %s: it is the end-of-sequence token now",
            tokenizer.decode([end]),
        )
        tokenizer.eos_token = tokenizer.convert_ids_to_tokens(end)
    if tokenizer.eos_token_id is None:
        raise UserError(f"{key} {str(model)!r}: its tokenizer has no end-of-sequence token")
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    tokenizer.padding_side = "left"
    return tokenizer


def _end_of_turn(tokenizer: "PreTrainedTokenizerBase") -> int | None:
    mark = "7"  # any text that every tokenizer and template leaves as it is
    turn = [{"role": "user", "content": mark}, {"role": "assistant", "content": mark}]
    text = str(tokenizer.apply_chat_template(turn, tokenize=False))
    ids = tokenizer(text[text.rindex(mark) + 1 :], add_special_tokens=False)["input_ids"]
    return next((i for i in ids if i in tokenizer.all_special_ids), None)
