"""The score of a reward model, run in the training process."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

from rewards.interface import BatchReward, Row, ScoredBatch


@dataclass(frozen=True)
class RewardModel(BatchReward):
    """The logit that a reward model gives to prompt and completion.

    The model is a sequence classifier with one label, loaded by transformers. Its scale is its own,
    so choose the weight accordingly; a model can be fooled, so let an exact reward weigh more. With
    plain-text prompts the text is the prompt followed by the completion.

    Parameters:
        model_name_or_path: folder or hub id.
        revision: commit of a hub model.
        batch_size: completions scored at once.
        max_tokens: a longer conversation is truncated at its start, where the prompt is.
    """

    model_name_or_path: str
    revision: str = "main"
    batch_size: int = 8
    max_tokens: int = 4096

    # The scale is the model's own.
    best_score: ClassVar[float | None] = None

    def check(self) -> None:
        """Raises `ValueError` if the name looks like a folder and there is none."""
        name = self.model_name_or_path
        # Old hub ids, such as gpt2, have no owner.
        looks_like_hub_id = name.count("/") <= 1 and not name.startswith((".", "/", "~"))
        if not looks_like_hub_id and not Path(name).is_dir():
            raise ValueError(
                f"model_name_or_path: there is no folder {name!r}, and a hub id is owner/name"
            )

    def score_batch(self, completions: Sequence[str], rows: Sequence[Row]) -> ScoredBatch:
        import torch

        model, tokenizer = _load(self.model_name_or_path, self.revision)
        texts = [
            _render(tokenizer, row["prompts"], completion)
            for completion, row in zip(completions, rows, strict=True)
        ]
        # In small batches, because a reward model needs memory next to the policy.
        scores: list[float | None] = []
        for start in range(0, len(texts), self.batch_size):
            inputs = tokenizer(
                texts[start : start + self.batch_size],
                return_tensors="pt",
                padding=True,
                truncation=True,
                max_length=self.max_tokens,
                add_special_tokens=False,  # the chat template has written them
            )
            with torch.inference_mode():
                logits = model(**inputs.to(model.device)).logits
            scores += logits[:, 0].float().tolist()
        return ScoredBatch(scores)


def _render(tokenizer: Any, prompt: Any, completion: str) -> str:
    """The conversation as the text that the reward model scores."""
    # Half a character, which a completion may end in, is no text to a tokenizer.
    completion = completion.encode("utf-8", "replace").decode()
    if isinstance(prompt, str):
        return prompt + completion
    messages = [*prompt, {"role": "assistant", "content": completion}]
    return str(tokenizer.apply_chat_template(messages, tokenize=False))


@lru_cache(maxsize=4)
def _load(name: str, revision: str) -> tuple[Any, Any]:
    """Model and tokenizer, loaded once per process."""
    import torch
    from accelerate import PartialState
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    # Texts are truncated at their start, so that the completion remains.
    tokenizer = AutoTokenizer.from_pretrained(
        name, revision=revision, padding_side="right", truncation_side="left"
    )

    # Most CPUs are slow in bfloat16.
    dtype = "auto" if torch.accelerator.is_available() else torch.float32
    model = AutoModelForSequenceClassification.from_pretrained(
        name, revision=revision, use_safetensors=True, dtype=dtype
    )
    if model.config.num_labels != 1:
        raise ValueError(f"{name} has {model.config.num_labels} labels; a reward model has one")

    # The classifier reads the last token before the padding, so both must agree on the padding.
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    model.config.pad_token_id = tokenizer.pad_token_id
    return model.to(PartialState().device).eval(), tokenizer
