"""Checks that a teacher can score the student's tokens."""

import logging
from typing import TYPE_CHECKING, Any

from trl import ModelConfig

from recipes.core.errors import UserError
from recipes.core.models.loading import adapter_base
from recipes.core.prompts.messages import render_prompt, to_messages
from recipes.core.prompts.tokenizer import load_tokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

logger = logging.getLogger(__name__)


def check_teacher(
    name: str,
    teacher_args: ModelConfig,
    model_args: ModelConfig,
    tokenizer: "PreTrainedTokenizerBase",
) -> None:
    """Raises `UserError` if the teacher's probabilities are not of the student's tokens; warns if it knows another prompt."""
    from transformers import AutoConfig

    student = str(model_args.model_name_or_path)
    key = "teacher_model_name_or_path"
    cure = "write a teacher of the student's family, or `distillation: traces`"
    known = load_tokenizer(name, key=key, revision=teacher_args.model_revision)
    tokens = {number: token for token, number in tokenizer.get_vocab().items()}
    # One of the two may have tokens that the other lacks; but no number may mean two.
    for token, number in known.get_vocab().items():
        if tokens.get(number, token) != token:
            raise UserError(
                f"{key}: {name!r} has another vocabulary than {student!r} (token {number} is {token!r} there, "
                f"{tokens[number]!r} here); {cure}"
            )

    def outputs(model: str, revision: str) -> Any:
        config = AutoConfig.from_pretrained(adapter_base(model) or model, revision=revision)
        return config.get_text_config().vocab_size

    theirs, ours = (
        outputs(name, teacher_args.model_revision),
        outputs(student, model_args.model_revision),
    )
    if theirs != ours:
        raise UserError(f"{key}: {name!r} has {theirs} outputs, {student!r} has {ours}; {cure}")
    question = to_messages("?", None)
    if render_prompt(known, question) != render_prompt(tokenizer, question):
        logger.warning(
            "chat_template: the teacher %s comes with another template than the student is asked in; what it was not trained on, "
            "it may teach badly", name,
        )  # fmt: skip
