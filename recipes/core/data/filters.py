"""Filters on questions: each returns the rows that pass, and logs how many do not."""

import logging
from typing import TYPE_CHECKING, Any

from recipes.core.data.questions import DataArguments, load_questions
from recipes.core.errors import UserError
from recipes.core.prompts.messages import Prompt, lacks_special_tokens, render_prompt

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedTokenizerBase

logger = logging.getLogger(__name__)


def drop_long_prompts(
    dataset: "Dataset", tokenizer: "PreTrainedTokenizerBase", max_prompt_length: int | None
) -> "Dataset":
    """The rows whose rendered prompt has at most `max_prompt_length` tokens.

    The number of tokens is kept in the column `prompt_tokens`.
    """

    # Measure in batches: a fast tokenizer then uses all of its threads.
    def measure(batch: dict[str, list[Prompt]]) -> dict[str, list[int]]:
        texts = [render_prompt(tokenizer, prompt) for prompt in batch["prompt"]]
        add_special_tokens = lacks_special_tokens(batch["prompt"][0])
        token_ids = tokenizer(texts, add_special_tokens=add_special_tokens)["input_ids"]
        return {"prompt_tokens": [len(ids) for ids in token_ids]}

    measured = dataset.map(measure, batched=True, desc="measuring prompts", keep_in_memory=True)
    if max_prompt_length is None:
        return measured

    # Leave long prompts out whole: one that was cut would ask another question.
    kept = measured.filter(
        lambda tokens: tokens <= max_prompt_length,
        input_columns="prompt_tokens",
        keep_in_memory=True,
    )
    if len(kept) == 0:
        raise UserError(
            f"max_prompt_length: all {len(dataset)} prompts are longer than {max_prompt_length} "
            "tokens; raise it"
        )
    if len(kept) < len(dataset):
        logger.warning(
            "max_prompt_length: %d of %d prompts are longer than %d tokens and are left out",
            len(dataset) - len(kept),
            len(dataset),
            max_prompt_length,
        )
    return kept


def drop_duplicates(dataset: "Dataset") -> "Dataset":
    """The first row of each question; one that a dataset asks twice is answered once."""
    # Only the ids are read into memory, not whole rows.
    first_rows: dict[str, int] = {}
    for index, identity in enumerate(dataset["question_id"]):
        first_rows.setdefault(identity, index)
    if len(first_rows) == len(dataset):
        return dataset
    logger.info("%d duplicate questions are left out", len(dataset) - len(first_rows))
    return dataset.select(first_rows.values())


def load_eval_questions(
    args: DataArguments,
    training_args: Any,
    tokenizer: "PreTrainedTokenizerBase",
    needs_answer: bool = True,
) -> "Dataset | None":
    """The held-out questions of a training stage; `None` if it does not evaluate."""
    if training_args.eval_strategy == "no":
        return None
    questions = load_questions(args, args.dataset_test_split, args.max_eval_samples, needs_answer)
    return drop_long_prompts(questions, tokenizer, args.max_prompt_length)
