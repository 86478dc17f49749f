"""What does a reward model say?"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from rewards.interface import BatchReward, Row, ScoredBatch


@dataclass(frozen=True)
class RewardModel(BatchReward):
    """The scalar of a reward model (a sequence classifier with one label, by transformers) for prompt and completion.

    Its scale is the model's own, so its weight has to suit; a model can be persuaded, so let an exact reward weigh more. With
    plain-text prompts the text is the prompt and the completion.

    Parameters:
        model_name_or_path: folder or hub id.
        revision: commit of a hub model.
        batch_size: completions scored at once.
        max_tokens: a longer conversation is cut at its start, where the prompt stands.
    """

    model_name_or_path: str
    revision: str = "main"
    batch_size: int = 8
    max_tokens: int = 4096

    def check(self) -> None:
        """Raises `ValueError` if the name looks like a folder and there is none."""
        name = self.model_name_or_path
        if not Path(name).is_dir() and (name.startswith((".", "/", "~")) or name.count("/") != 1):
            raise ValueError(
                f"model_name_or_path: there is no folder {name!r}, and a hub id is owner/name"
            )

    def score_batch(self, completions: Sequence[str], rows: Sequence[Row]) -> ScoredBatch:
        import torch

        model, tokenizer = _load(self.model_name_or_path, self.revision)
        texts = [
            _text(tokenizer, row["prompts"], completion)
            for completion, row in zip(completions, rows, strict=True)
        ]
        scores: list[float | None] = []
        for start in range(0, len(texts), self.batch_size):
            batch = texts[start : start + self.batch_size]
            limits = {
                "truncation": True,
                "max_length": self.max_tokens,
                "add_special_tokens": False,
            }
            inputs = tokenizer(batch, return_tensors="pt", padding=True, **limits).to(model.device)
            with torch.inference_mode():
                scores += model(**inputs).logits[:, 0].float().tolist()
        return ScoredBatch(scores)


def _text(tokenizer: Any, prompt: Any, completion: str) -> str:
    if isinstance(prompt, str):
        return prompt + completion
    return str(
        tokenizer.apply_chat_template(
            [*prompt, {"role": "assistant", "content": completion}], tokenize=False
        )
    )


@lru_cache(maxsize=4)
def _load(name: str, revision: str) -> tuple[Any, Any]:
    import torch
    from accelerate import PartialState
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(
        name, revision=revision, padding_side="right", truncation_side="left"
    )
    dtype = (
        "auto" if torch.accelerator.is_available() else torch.float32
    )  # most CPUs are slow in bfloat16
    model = AutoModelForSequenceClassification.from_pretrained(
        name, revision=revision, use_safetensors=True, dtype=dtype
    )
    if model.config.num_labels != 1:
        raise ValueError(f"{name} has {model.config.num_labels} labels; a reward model has one")
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    model.config.pad_token_id = (
        tokenizer.pad_token_id
    )  # where the classifier looks for the end of each text
    return model.to(PartialState().device).eval(), tokenizer
