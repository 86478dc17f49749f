"""Prompts: chat messages, chat templates, and the tokenizer that renders them."""

from recipes.core.prompts.messages import Messages, prefilled_text, render_prompt, to_messages
from recipes.core.prompts.tokenizer import load_tokenizer

__all__ = ["Messages", "load_tokenizer", "prefilled_text", "render_prompt", "to_messages"]
