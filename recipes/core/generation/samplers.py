"""Samplers: one way to get completions from a local model, vLLM or an endpoint."""

import importlib.util
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self

from recipes.core.generation.sampling import SamplingArguments
from recipes.core.generation.types import Completion

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedTokenizerBase
    from trl import ModelConfig

BACKENDS = ("transformers", "vllm", "endpoint")


@dataclass
class EndpointArguments:
    """Keys for models behind an endpoint."""

    api_key_variable: str = "OPENAI_API_KEY"
    concurrency: int = 16
    retries: int = 5
    request_timeout_seconds: float = 600.0


@dataclass
class SamplerArguments(EndpointArguments):
    """Keys that choose the teacher and what runs it."""

    teacher: str = "transformers"  # one of BACKENDS
    teacher_url: str | None = None
    vllm_gpu_memory_utilization: float = 0.9
    vllm_tensor_parallel_size: int = 1
    vllm_max_model_length: int | None = None

    def __post_init__(self) -> None:
        if self.teacher not in BACKENDS:
            raise ValueError(f"teacher is {self.teacher!r}; write transformers, vllm or endpoint")
        # An address without the backend that uses it would be ignored.
        if (self.teacher == "endpoint") != bool(self.teacher_url):
            raise ValueError(
                "`teacher: endpoint` and `teacher_url` belong together; write both or neither"
            )
        if self.teacher == "vllm":
            self._check_vllm()

    def _check_vllm(self) -> None:
        if importlib.util.find_spec("vllm") is None:
            raise ValueError(
                "teacher: vllm needs the package vllm, which samples many times faster on a CUDA "
                "machine; run: pip install -r requirements-gpu.txt, or write "
                "teacher: transformers, which samples from the same model"
            )
        # vLLM starts the processes that it needs itself.
        if int(os.environ.get("WORLD_SIZE", "1")) > 1:
            raise ValueError(
                "teacher: vllm cannot be started as several processes; start one "
                "(--num-processes 1) and give it several GPUs with vllm_tensor_parallel_size"
            )


class Sampler(Protocol):
    """A model that answers prompts. As a context manager it frees the model at the end."""

    @property
    def metadata(self) -> dict[str, Any]:
        """`model`, `parameters` and, of a local model, `weights_mb` and `template`."""

    @property
    def tokenizer(self) -> "PreTrainedTokenizerBase | None":
        """The tokenizer of a local model; `None` for an endpoint."""

    @property
    def batch_dependent(self) -> bool:
        """Whether a completion depends on the other rows of its batch."""

    def sample(
        self, rows: Sequence[Mapping[str, Any]], args: SamplingArguments, seed: int
    ) -> list[Completion | None]:
        """One completion of each row's `prompt`, in order; `None` where the request failed.

        Rows also have `question_id` and `sample_index`. Rows of a question follow each other.
        """

    def first_prompt(self, questions: "Dataset") -> Any:
        """The first prompt as the model sees it."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...


def open_sampler(
    model: str,
    model_args: "ModelConfig",
    arguments: EndpointArguments,
    chat_template: str | None = None,
) -> Sampler:
    """A sampler for `model`: a folder, a hub id, a name at an endpoint, or `http://host/v1#name`.

    Args:
        arguments: of an endpoint; `SamplerArguments` also choose the backend and its address.
        chat_template: for a local model.
    """
    # A model at an endpoint.
    url, _, name = model.partition("#")
    if isinstance(arguments, SamplerArguments) and arguments.teacher_url:
        url = arguments.teacher_url
        name = model
    if url.startswith(("http://", "https://")):
        from recipes.core.generation.endpoint_sampler import EndpointSampler

        return EndpointSampler(url, name, arguments)

    # A model on this machine: its tokenizer renders the prompts, whatever runs it.
    from recipes.core.prompts import load_tokenizer

    tokenizer = load_tokenizer(model, chat_template, revision=model_args.model_revision)
    # vLLM, if the recipe asks for it, and transformers otherwise.
    if isinstance(arguments, SamplerArguments) and arguments.teacher == "vllm":
        from recipes.core.generation.vllm_sampler import VLLMSampler

        return VLLMSampler(model, model_args, tokenizer, arguments)

    from recipes.core.generation.transformers_sampler import TransformersSampler

    return TransformersSampler(model, model_args, tokenizer)
