"""Checks that what is trained fits into the positions that the model has."""

from typing import TYPE_CHECKING

from recipes.core.errors import UserError
from recipes.core.models.loading import max_model_length

if TYPE_CHECKING:
    from datasets import Dataset
    from trl import ModelConfig


def check_completion_fits(
    model_args: "ModelConfig", questions: "Dataset", max_completion_length: int
) -> None:
    """Raises `UserError` if the longest prompt and a completion do not fit into the model.

    Args:
        questions: measured, with a column `prompt_tokens`.

    A model with learned positions fails in the middle of a generation; one with rotary positions
    goes on beyond what it was made for.
    """
    limit = max_model_length(model_args)
    prompt_tokens = max(questions["prompt_tokens"])
    if prompt_tokens + max_completion_length <= limit:
        return
    # What would fit, beside the longest prompt or, if that fills the model, beside shorter ones.
    remedy = "leave out long prompts with `max_prompt_length`"
    if prompt_tokens < limit:
        remedy = f"write max_completion_length: {limit - prompt_tokens}, or {remedy}"
    raise UserError(
        f"max_completion_length: the longest prompt ({prompt_tokens} tokens) and "
        f"{max_completion_length} tokens of completion do not fit into the {limit} positions of "
        f"{model_args.model_name_or_path}; {remedy}"
    )


def check_trace_fits(model_args: "ModelConfig", trace_tokens: int) -> None:
    """Raises `UserError` if the longest trace does not fit into the model."""
    limit = max_model_length(model_args)
    if trace_tokens > limit:
        raise UserError(
            f"max_length: the longest trace has {trace_tokens} tokens with its question, and "
            f"{model_args.model_name_or_path} has {limit} positions; write max_length: {limit}, "
            "which leaves out longer ones"
        )
