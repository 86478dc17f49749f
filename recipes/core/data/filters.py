"""Filters on questions: each returns the dataset without the rows that do not pass, and logs how many."""

import logging
from typing import TYPE_CHECKING

from recipes.core.errors import UserError

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedTokenizerBase

logger = logging.getLogger(__name__)


def drop_long_prompts(
    dataset: "Dataset", tokenizer: "PreTrainedTokenizerBase", max_prompt_length: int | None
) -> "Dataset":
    """Leaves out rows whose rendered prompt is longer than `max_prompt_length` tokens, and says how many."""
    from recipes.core.prompts.messages import render_prompt

    if max_prompt_length is None:
        return dataset
    kept = dataset.filter(
        lambda prompt: (
            len(tokenizer(render_prompt(tokenizer, prompt), add_special_tokens=False)["input_ids"])
            <= max_prompt_length
        ),
        input_columns="prompt",
        desc="measuring prompts",
        keep_in_memory=True,
    )
    if len(kept) == 0:
        raise UserError(
            f"max_prompt_length: all {len(dataset)} prompts are longer than {max_prompt_length} tokens; raise it"
        )
    if len(kept) < len(dataset):
        logger.warning(
            "max_prompt_length: %d of %d prompts are longer than %d tokens and are left out",
            len(dataset) - len(kept), len(dataset), max_prompt_length,
        )  # fmt: skip
    return kept
