"""Sampling completions from models, and scoring them, for `generate` and `evaluate`."""

from recipes.core.generation.collect import SamplingJob, collect_samples
from recipes.core.generation.samplers import (
    EndpointArguments,
    Sampler,
    SamplerArguments,
    open_sampler,
)
from recipes.core.generation.sampling import SamplingArguments
from recipes.core.generation.types import Completion, Sample

__all__ = [
    "Completion",
    "EndpointArguments",
    "Sample",
    "Sampler",
    "SamplerArguments",
    "SamplingArguments",
    "SamplingJob",
    "collect_samples",
    "open_sampler",
]
