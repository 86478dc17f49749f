"""Turns a question into chat messages, and messages into the text that the model continues."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# DeepSeek-R1-Zero's template (arXiv 2501.12948, Table 1); r1_zero.jinja adds the two names.
R1_ZERO_SYSTEM_PROMPT = (
    "A conversation between User and Assistant. The user asks a question, and the Assistant "
    "solves it. The assistant first thinks about the reasoning process in the mind and then "
    "provides the user with the answer. The reasoning process and answer are enclosed within "
    "<think> </think> and <answer> </answer> tags, respectively, i.e., <think> reasoning process "
    "here </think> <answer> answer here </answer>."
)

Messages = list[dict[str, str]]


def to_messages(question: str | Messages, system_prompt: str | None) -> Messages:
    """The conversation that asks `question`; one that is a conversation already is kept.

    `system_prompt` is DeepSeek-R1-Zero's by default, and none if it is empty.
    """
    if not isinstance(question, str):
        return list(question)
    # null is the default; an empty string is "no system prompt".
    if system_prompt is None:
        system_prompt = R1_ZERO_SYSTEM_PROMPT
    user = {"role": "user", "content": question}
    if not system_prompt:
        return [user]
    # The order that chat templates expect.
    return [{"role": "system", "content": system_prompt}, user]


def render_prompt(tokenizer: "PreTrainedTokenizerBase", messages: Messages) -> str:
    """The text that the model continues."""
    return str(tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))


def prefilled_text(tokenizer: "PreTrainedTokenizerBase") -> str:
    """What the chat template has already written of the reply: `<think>` or nothing."""
    # Any question will do: the end of the prompt is the same for all.
    prompt = render_prompt(tokenizer, [{"role": "user", "content": "?"}])
    return prefilled_part(prompt)


def prefilled_part(prompt: str) -> str:
    """What a rendered prompt already contains of the reply: `<think>` or nothing."""
    # Some templates put a line break after the tag.
    return "<think>" if prompt.rstrip().endswith("<think>") else ""
