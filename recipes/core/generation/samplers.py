"""Who answers the questions? A model on this machine, in transformers or vLLM, or one of any size behind an endpoint."""

import importlib.util
import logging
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from recipes.core.errors import UserError
from recipes.core.files import Row
from recipes.core.generation.sampling import Completion, SamplingArguments, sample_completions
from recipes.core.prompts.messages import prefilled_text, render_prompt

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

logger = logging.getLogger(__name__)


@dataclass
class EndpointArguments:
    """Keys that say how an endpoint is asked."""

    api_key_variable: str = field(
        default="OPENAI_API_KEY",
        metadata={"help": "Environment variable with the endpoint's key, which is never written."},
    )
    concurrency: int = field(
        default=16, metadata={"help": "Requests under way at once, per process."}
    )
    retries: int = field(
        default=5, metadata={"help": "Further tries of a request, with growing pauses."}
    )
    request_timeout_seconds: float = field(default=600.0, metadata={"help": "Limit for one try."})


@dataclass
class SamplerArguments(EndpointArguments):
    """Keys that say who the teacher is."""

    teacher: str = field(
        default="transformers",
        metadata={"help": "transformers or vllm (this machine), or endpoint."},
    )
    teacher_url: str | None = field(
        default=None, metadata={"help": "Of the endpoint, such as http://localhost:8000/v1."}
    )
    vllm_gpu_memory_utilization: float = field(
        default=0.9, metadata={"help": "Share of each GPU's memory that vLLM takes."}
    )
    vllm_tensor_parallel_size: int = field(
        default=1, metadata={"help": "GPUs that vLLM splits the model over."}
    )
    vllm_max_model_length: int | None = field(
        default=None,
        metadata={
            "help": "Longest prompt and completion together, in tokens. Default: what the model was made for."
        },
    )

    def __post_init__(self) -> None:
        if self.teacher not in ("transformers", "vllm", "endpoint"):
            raise ValueError(f"teacher is {self.teacher!r}; write transformers, vllm or endpoint")
        if (self.teacher == "endpoint") != bool(self.teacher_url):
            raise ValueError(
                "`teacher: endpoint` and `teacher_url` belong together; write both or neither"
            )
        if self.teacher != "vllm":
            return
        if importlib.util.find_spec("vllm") is None:
            raise ValueError(
                "teacher: vllm needs the package vllm, which draws many more completions a second on a CUDA machine; run: "
                "pip install -r requirements-gpu.txt, or go without: teacher: transformers draws from the same model"
            )
        if (
            int(os.environ.get("WORLD_SIZE", "1")) > 1
        ):  # vLLM starts the processes that it needs itself
            raise ValueError(
                "teacher: vllm cannot be started as several processes; start one (--num-processes 1) and give it several GPUs "
                "with vllm_tensor_parallel_size"
            )


class Sampler(Protocol):
    """One completion for each row's `prompt`, in their order; `None` where the teacher itself failed."""

    @property
    def whole_batches(self) -> bool:
        """Whether what it answers depends on the other rows of the batch."""

    def answer(
        self, rows: Sequence[Row], args: SamplingArguments, seed: int
    ) -> list[Completion | None]: ...


@dataclass(frozen=True)
class TransformersSampler:
    """A model in this process. The same rows and the same seed give the same completions."""

    model: "PreTrainedModel"
    tokenizer: "PreTrainedTokenizerBase"
    whole_batches: bool = True

    def answer(
        self, rows: Sequence[Row], args: SamplingArguments, seed: int
    ) -> list[Completion | None]:
        prefix = prefilled_text(self.tokenizer)
        prompts = [
            render_prompt(self.tokenizer, row["prompt"]) for row in rows[:: args.num_generations]
        ]  # whole batches, whole groups
        drawn = sample_completions(self.model, self.tokenizer, prompts, args, seed)
        return [Completion(prefix + one.text, one.tokens, one.finished) for one in drawn]


class EndpointSampler:
    """A model behind an OpenAI-compatible endpoint.

    What fails after all retries (a time-out, a lost connection, 429, 5xx, a reply that is no JSON or holds no choice) is `None`. A
    refused key or an unknown model raises `UserError`. A reasoning model's thinking comes apart from its answer
    (`reasoning_content`); it is put back into the tags.
    """

    whole_batches = False

    def __init__(self, url: str, model: str, args: EndpointArguments) -> None:
        try:
            from openai import OpenAI
        except ImportError as error:
            raise UserError(
                f"the endpoint {url} needs the package openai; run: pip install openai"
            ) from error
        key = os.environ.get(args.api_key_variable) or "none"  # local servers ask for none
        self.url, self.model, self.concurrency = url, model, args.concurrency
        self.client = OpenAI(
            base_url=url,
            api_key=key,
            timeout=args.request_timeout_seconds,
            max_retries=args.retries,
        )

    def answer(
        self, rows: Sequence[Row], args: SamplingArguments, seed: int
    ) -> list[Completion | None]:
        with ThreadPoolExecutor(self.concurrency) as threads:
            asked = [
                threads.submit(self._ask, row["prompt"], args, seed + row["sample"]) for row in rows
            ]
            return [one.result() for one in asked]

    def _ask(self, prompt: Any, args: SamplingArguments, seed: int) -> Completion | None:
        import openai

        messages: Any = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt
        try:
            reply = self.client.chat.completions.create(
                model=self.model,
                messages=messages,
                temperature=args.temperature,
                top_p=args.top_p,
                max_tokens=args.max_completion_length,
                seed=seed % 2**31,
            )
            choice = reply.choices[0]
            text = choice.message.content or ""
            thinking = getattr(choice.message, "reasoning_content", None) or getattr(
                choice.message, "reasoning", None
            )
            tokens = reply.usage.completion_tokens if reply.usage else len(text.split())
        except (
            openai.AuthenticationError,
            openai.NotFoundError,
            openai.PermissionDeniedError,
        ) as error:
            raise UserError(
                f"endpoint {self.url}, model {self.model!r}: {' '.join(str(error).split())[:300]}"
            ) from error
        except (
            openai.OpenAIError,
            ValueError,
            IndexError,
            TypeError,
            AttributeError,
        ) as error:  # also what is no such reply
            logger.warning("the teacher failed: %s", " ".join(repr(error).split())[:200])
            return None
        if thinking and not text:  # cut off while it thought
            return Completion(f"<think>{thinking}", tokens, False)
        if thinking:
            text = f"<think>{thinking}</think>\n" + (
                text if "<answer>" in text else f"<answer>{text}</answer>"
            )
        return Completion(text, tokens, choice.finish_reason == "stop")
