"""Samples from a model in this process, with transformers."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

from recipes.core.generation.sampling import SamplingArguments, sample_completions
from recipes.core.generation.types import Completion
from recipes.core.models.loading import load_model
from recipes.core.prompts import lacks_special_tokens, prefilled_text, render_prompt

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedModel, PreTrainedTokenizerBase
    from trl import ModelConfig


class TransformersSampler:
    """A folder or hub id. The same batch and the same seed give the same completions."""

    batch_dependent = True

    def __init__(
        self, name: str, model_args: "ModelConfig", tokenizer: "PreTrainedTokenizerBase"
    ) -> None:
        self.tokenizer = tokenizer
        self.model: PreTrainedModel = load_model(name, model_args)
        self.metadata: dict[str, Any] = {
            "model": name,
            "template": tokenizer.chat_template,
            "parameters": self.model.num_parameters(),
            "weights_mb": round(self.model.get_memory_footprint() / 1e6, 1),
        }

    def sample(
        self, rows: Sequence[Mapping[str, Any]], args: SamplingArguments, seed: int
    ) -> list[Completion | None]:
        """One completion of each row's `prompt`; `rows` hold whole groups of a question."""
        # The rows of a question share its prompt, which is read once.
        groups = rows[:: args.num_generations]
        prompts = [render_prompt(self.tokenizer, row["prompt"]) for row in groups]
        plain = lacks_special_tokens(rows[0]["prompt"])
        completions = sample_completions(self.model, self.tokenizer, prompts, args, seed, plain)

        # The prompt may already contain the beginning of the reply.
        prefix = prefilled_text(self.tokenizer, rows[0]["prompt"])
        return [Completion(prefix + one.text, one.tokens, one.finished) for one in completions]

    def first_prompt(self, questions: "Dataset") -> str:
        """The first prompt as text."""
        return render_prompt(self.tokenizer, questions[0]["prompt"])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        del self.model  # the next model takes its memory
