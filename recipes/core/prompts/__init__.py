"""Prompts: chat messages, chat templates, and the tokenizer that renders them."""

from recipes.core.prompts.messages import (
    Messages,
    Prompt,
    lacks_special_tokens,
    prefilled_text,
    render_prompt,
    to_messages,
)
from recipes.core.prompts.tokenizer import load_tokenizer

__all__ = [
    "Messages",
    "Prompt",
    "lacks_special_tokens",
    "load_tokenizer",
    "prefilled_text",
    "render_prompt",
    "to_messages",
]
