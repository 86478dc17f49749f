"""Checks that vLLM can sample for a run."""

import importlib.util

from trl import ModelConfig

from recipes.core.errors import UserError


def check_vllm(requested_by: str, model_args: ModelConfig) -> None:
    """Raises `UserError` if vLLM cannot sample for this model.

    Args:
        requested_by: the key or option that asks for vLLM; the message starts with it.
        model_args: the model's keys.
    """
    # Found without importing it, which would take seconds.
    if importlib.util.find_spec("vllm") is None:
        raise UserError(
            f"{requested_by}: the package vllm is not installed. It samples many times faster on "
            "a CUDA machine (pip install -r requirements-gpu.txt); without this setting, "
            "transformers samples"
        )
    if model_args.load_in_4bit or model_args.load_in_8bit:
        raise UserError(
            f"{requested_by}: TRL cannot send the weights of a model in 4 or 8 bits to vLLM "
            "(huggingface/trl issue 4973); leave out load_in_4bit and load_in_8bit, or leave out "
            "vLLM, and transformers samples"
        )
