"""The card of a model names the base and the data, in a form that the hub accepts."""

import pytest
from huggingface_hub import ModelCard as HubCard

from recipes.core.training.model_card import Origin, _complete_card
from tests.support.commands import ROOT, stage_here

TRL_CARD = """---
library_name: transformers
tags: [trl, grpo]
---

This model is a fine-tuned version of [None](https://huggingface.co/None).
generator = pipeline("text-generation", model="None", device_map="auto")
"""


@pytest.mark.parametrize(
    ("origin", "sentence", "base_model", "datasets"),
    [
        (  # a hub id each
            Origin("Qwen/Qwen3-1.7B-Base", "openai/gsm8k"),
            "[Qwen/Qwen3-1.7B-Base](https://huggingface.co/Qwen/Qwen3-1.7B-Base) trained on "
            "[openai/gsm8k](https://huggingface.co/datasets/openai/gsm8k).",
            "Qwen/Qwen3-1.7B-Base",
            ["openai/gsm8k"],
        ),
        (  # a folder of two words and a file, which the hub refuses as metadata
            Origin("recipes/arithmetic", "README.md"),
            "`recipes/arithmetic` trained on `README.md`.",
            None,
            None,
        ),
        (  # a function, and an absolute path with a backslash
            Origin("/models/my\\1base", "my_recipe.dataset:questions"),
            "`/models/my\\1base` trained on `my_recipe.dataset:questions`.",
            None,
            None,
        ),
    ],
)
def test_a_card_names_the_base_and_the_data(
    tmp_path, monkeypatch, origin, sentence, base_model, datasets
):
    monkeypatch.chdir(ROOT)
    file = tmp_path / "README.md"
    file.write_text(TRL_CARD)
    _complete_card(file, origin, is_adapter=True)
    card = HubCard.load(file)
    assert f"This model is {sentence}\n" in card.text
    assert f'model="{tmp_path}"' in card.text
    assert (card.data.base_model, card.data.datasets) == (base_model, datasets)
    assert (card.data.library_name, card.data.tags) == ("peft", ["trl", "grpo"])


def test_the_card_of_a_trained_adapter_does_not_send_the_hub_a_path(tmp_path):
    keys = ("--output_dir", tmp_path, "--max_steps", 1, "--max_completion_length", 8)
    batch = ("--per_device_train_batch_size", 8, "--num_generations", 8)
    stage_here("grpo", "recipes/arithmetic/grpo.yaml", *keys, *batch)
    card = HubCard.load(tmp_path / "policy/README.md")
    assert "`recipes/arithmetic/models/base` trained on `recipes.arithmetic.dataset:q" in card.text
    assert card.data.base_model is None and card.data.library_name == "peft"
