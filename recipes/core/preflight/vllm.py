"""Checks that vLLM can sample for a run."""

import importlib.util

from trl import ModelConfig

from recipes.core.errors import UserError


def check_vllm(asked: str, model_args: ModelConfig) -> None:
    """Raises `UserError` if vLLM cannot sample; `asked` is what asks for it."""
    if importlib.util.find_spec("vllm") is None:
        raise UserError(
            f"{asked}: the package vllm is not there. It samples many times faster on a CUDA machine (pip install -r "
            "requirements-gpu.txt); without it leave this out, and transformers samples"
        )
    if model_args.load_in_4bit or model_args.load_in_8bit:
        raise UserError(
            f"{asked}: vLLM cannot take the weights of a model in 4 or 8 bits from TRL (huggingface/trl issue 4973); leave out "
            "load_in_4bit and load_in_8bit, or leave vLLM out, and transformers samples"
        )
