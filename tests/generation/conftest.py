"""The shipped base model, on which sampling is tested."""

import pytest

BASE = "recipes/arithmetic/models/base"


@pytest.fixture(scope="package")
def tokenizer():
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(BASE)


@pytest.fixture(scope="package")
def model():
    import torch
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(BASE, dtype=torch.float32).eval()
