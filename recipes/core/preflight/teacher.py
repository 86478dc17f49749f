"""Checks that a teacher can score the student's tokens, for on-policy distillation."""

import logging
from typing import TYPE_CHECKING

from recipes.core.errors import UserError
from recipes.core.models.loading import adapter_base
from recipes.core.prompts import load_tokenizer, render_prompt, to_messages

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase
    from trl import ModelConfig

logger = logging.getLogger(__name__)

KEY = "teacher_model_name_or_path"
REMEDY = "write a teacher of the student's family, or distil from traces (generate, then sft)"


def check_teacher(
    name: str,
    teacher_args: "ModelConfig",
    model_args: "ModelConfig",
    tokenizer: "PreTrainedTokenizerBase",
) -> None:
    """Raises `UserError` if teacher and student do not share their vocabulary.

    Warns if the teacher was trained with another chat template.

    Args:
        name: the teacher.
        tokenizer: the student's.
    """
    student = str(model_args.model_name_or_path)
    revision = teacher_args.model_revision
    teacher_tokenizer = load_tokenizer(name, key=KEY, revision=revision)

    # Either may have tokens that the other lacks, but an id must not mean two tokens.
    student_tokens = {index: token for token, index in tokenizer.get_vocab().items()}
    for token, index in teacher_tokenizer.get_vocab().items():
        if student_tokens.get(index, token) != token:
            raise UserError(
                f"{KEY}: {name!r} has another vocabulary than {student!r} (token {index} is "
                f"{token!r} there, {student_tokens[index]!r} here); {REMEDY}"
            )

    # The loss compares probabilities output by output.
    teacher_outputs = _vocabulary_size(adapter_base(name) or name, revision)
    student_outputs = _vocabulary_size(adapter_base(student) or student, model_args.model_revision)
    if teacher_outputs != student_outputs:
        raise UserError(
            f"{KEY}: {name!r} has {teacher_outputs} outputs, {student!r} has {student_outputs}; "
            f"{REMEDY}"
        )

    # Another chat template works, but the teacher has not seen such prompts.
    question = to_messages("?", system_prompt="")  # a template may take none
    if render_prompt(teacher_tokenizer, question) != render_prompt(tokenizer, question):
        logger.warning(
            "chat_template: the teacher %s has another template than the student's prompts; "
            "on prompts it was not trained on, it may teach badly",
            name,
        )


def _vocabulary_size(model: str, revision: str) -> int:
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(model, revision=revision)
    return int(config.get_text_config().vocab_size)
