"""Turns a question into a prompt, and a prompt into the text that the model continues."""

from typing import TYPE_CHECKING, Any

from recipes.core.prompts.chat_template import render_conversation
from rewards.completion import THINK

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
# A conversation, or a plain text that is continued as it is.
Prompt = str | Messages

# Roles in ShareGPT's conversations, whose messages have `from` and `value`.
_ROLES = {"human": "user", "gpt": "assistant", "chatgpt": "assistant", "bot": "assistant"}
# Whose turns are answers; `model` is Gemma's name.
_ANSWERING = {"assistant", "model", "gpt", "chatgpt", "bot"}


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


def read_conversation(value: list[Any]) -> Messages:
    """The messages in a list, also in ShareGPT's form.

    Raises:
        ValueError: says which element is no message.
    """
    messages = []
    for number, message in enumerate(value, start=1):
        # ShareGPT: {"from": "human", "value": "..."}.
        if isinstance(message, dict) and message.get("from"):
            role = _ROLES.get(message["from"], message["from"])
            message = {"role": role, "content": message.get("value")}
        if not isinstance(message, dict) or not isinstance(message.get("role"), str):
            raise ValueError(f"a list whose element {number} is no message with `role`")
        # The content is a text, a list of parts, or nothing (a call of a tool).
        content = _text_of_parts(message.get("content"))
        if not isinstance(content, str | None):
            raise ValueError(f"a list whose message {number} has no text as `content`")
        messages.append(message | {"content": content})
    return messages


def drop_answer(messages: Messages) -> Messages:
    """The messages up to the last turn of the assistant, which is the answer."""
    length = len(messages)
    while length and messages[length - 1]["role"] in _ANSWERING:
        length -= 1
    return messages[:length]


def _text_of_parts(content: Any) -> Any:
    """The text of a content in parts, if all of them are texts; any other content as it is."""
    if not isinstance(content, list):
        return content
    texts = []
    for part in content:
        if not isinstance(part, dict) or not isinstance(part.get("text"), str):
            return content
        texts.append(part["text"])
    return "".join(texts)


def render_prompt(tokenizer: "PreTrainedTokenizerBase", prompt: Prompt) -> str:
    """The text that the model continues; a plain text is that already."""
    if isinstance(prompt, str):
        return prompt
    return render_conversation(tokenizer, prompt, add_generation_prompt=True)


def lacks_special_tokens(prompt: Prompt) -> bool:
    """Whether the tokenizer has to add its special tokens, such as the one that begins a text.

    A chat template has written them already.
    """
    return isinstance(prompt, str)


def prefilled_text(tokenizer: "PreTrainedTokenizerBase", prompt: Prompt | None = None) -> str:
    """What the prompts already contain of the reply: `<think>` or nothing.

    Args:
        prompt: one of them; any conversation by default, because the chat template ends all alike.
    """
    example = prompt if isinstance(prompt, str) else [{"role": "user", "content": "?"}]
    return prefilled_part(render_prompt(tokenizer, example))


def prefilled_part(prompt: str) -> str:
    """What a rendered prompt already contains of the reply: `<think>` or nothing."""
    # Some templates put a line break after the tag.
    return THINK if prompt.rstrip().endswith(THINK) else ""
