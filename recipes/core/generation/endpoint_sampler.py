"""Samples from a model behind an OpenAI-compatible endpoint."""

import importlib.util
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

from recipes.core.errors import UserError, one_line
from recipes.core.generation.samplers import EndpointArguments
from recipes.core.generation.sampling import SamplingArguments
from recipes.core.generation.types import Completion
from rewards.completion import ANSWER, END_ANSWER, END_THINK, THINK
from rewards.endpoint import Endpoint, Reply

if TYPE_CHECKING:
    from datasets import Dataset

# Far more than the longest completion; what an endpoint sends beyond it is not read.
MAX_REPLY_BYTES = 16 << 20


class EndpointSampler:
    """A model that an endpoint serves under a name.

    A request that still fails after all retries (a time-out, a lost connection, 429, 5xx, a reply
    that is no message, without end or larger than 16 MB) gives `None`.
    """

    batch_dependent = False
    tokenizer = None

    def __init__(self, url: str, model: str, args: EndpointArguments) -> None:
        # Only this sampler needs the client, so it is optional.
        if importlib.util.find_spec("openai") is None:
            raise UserError(f"the endpoint {url} needs the package openai; run: pip install openai")
        self.metadata: dict[str, Any] = {"model": f"{url}#{model}", "parameters": None}
        self.endpoint = Endpoint(
            url,
            model,
            args.api_key_variable,
            args.request_timeout_seconds,
            args.retries,
            args.concurrency,
            max_bytes=MAX_REPLY_BYTES,
        )

    def sample(
        self, rows: Sequence[Mapping[str, Any]], args: SamplingArguments, seed: int
    ) -> list[Completion | None]:
        """One completion of each row's `prompt`; raises `UserError` if the endpoint refuses us."""
        from openai import AuthenticationError, NotFoundError, PermissionDeniedError

        # Samples of a question differ by their seed; an endpoint may ignore it.
        requests = [_to_request(row["prompt"], args, seed + row["sample_index"]) for row in rows]
        try:
            replies = self.endpoint.complete(requests)
        except (AuthenticationError, NotFoundError, PermissionDeniedError) as error:
            # A refused key or an unknown model fails every request.
            raise UserError(
                f"endpoint {self.endpoint.base_url}, model {self.endpoint.model!r}: "
                f"{one_line(error, 300)}"
            ) from error
        return [_to_completion(reply) if reply else None for reply in replies]

    def first_prompt(self, questions: "Dataset") -> Any:
        """The first prompt as messages: the endpoint renders it."""
        return questions[0]["prompt"]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        pass  # connections last for one batch


def _to_request(prompt: Any, args: SamplingArguments, seed: int) -> dict[str, Any]:
    # An endpoint applies its own chat template, so it gets messages.
    if isinstance(prompt, str):
        prompt = [{"role": "user", "content": prompt}]
    return {
        "messages": prompt,
        "temperature": args.temperature,
        "top_p": args.top_p,
        "max_tokens": args.max_completion_length,
        "seed": seed % 2**31,
    }


def _to_completion(reply: Reply) -> Completion:
    """The completion in a reply.

    A reasoning model's thinking comes apart from its answer (`reasoning_content`); it is put back
    into the tags.
    """
    text = reply.text
    tokens = len(text.split()) if reply.tokens is None else reply.tokens

    # Truncated while it was thinking: there is no answer.
    if reply.thinking and not text:
        return Completion(f"{THINK}{reply.thinking}", tokens, finished=False)

    # Put the thinking back into tags, and the answer too unless the model did so itself.
    if reply.thinking:
        if ANSWER not in text:
            text = f"{ANSWER}{text}{END_ANSWER}"
        text = f"{THINK}{reply.thinking}{END_THINK}\n{text}"
    return Completion(text, tokens, finished=reply.finish_reason == "stop")
