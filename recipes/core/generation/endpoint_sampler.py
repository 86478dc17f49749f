"""Samples from a model behind an OpenAI-compatible endpoint."""

import logging
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Self

from recipes.core.errors import UserError, one_line
from recipes.core.generation.samplers import EndpointArguments
from recipes.core.generation.sampling import SamplingArguments
from recipes.core.generation.types import Completion
from rewards.completion import ANSWER, END_ANSWER, END_THINK, THINK

if TYPE_CHECKING:
    from datasets import Dataset
    from openai.types.chat import ChatCompletion

logger = logging.getLogger(__name__)


class EndpointSampler:
    """A model that an endpoint serves under a name.

    A request that still fails after all retries (a time-out, a lost connection, 429, 5xx, a reply
    that is not JSON or has no choice) gives `None`.
    """

    batch_dependent = False
    tokenizer = None

    def __init__(self, url: str, model: str, args: EndpointArguments) -> None:
        # Only this sampler needs the client, so it is optional.
        try:
            from openai import OpenAI
        except ImportError as error:
            raise UserError(
                f"the endpoint {url} needs the package openai; run: pip install openai"
            ) from error
        self.url = url
        self.model = model
        self.concurrency = args.concurrency
        self.metadata: dict[str, Any] = {"model": f"{url}#{model}", "parameters": None}
        self.client = OpenAI(
            base_url=url,
            api_key=os.environ.get(args.api_key_variable) or "none",  # local servers need none
            timeout=args.request_timeout_seconds,
            max_retries=args.retries,
        )

    def sample(
        self, rows: Sequence[Mapping[str, Any]], args: SamplingArguments, seed: int
    ) -> list[Completion | None]:
        """One completion of each row's `prompt`; raises `UserError` if the endpoint refuses us."""
        # Samples of a question differ by their seed; an endpoint may ignore it.
        with ThreadPoolExecutor(self.concurrency) as threads:
            requests = []
            for row in rows:
                row_seed = seed + row["sample_index"]
                requests.append(threads.submit(self._request, row["prompt"], args, row_seed))
            return [request.result() for request in requests]

    def first_prompt(self, questions: "Dataset") -> Any:
        """The first prompt as messages: the endpoint renders it."""
        return questions[0]["prompt"]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.client.close()

    def _request(self, prompt: Any, args: SamplingArguments, seed: int) -> Completion | None:
        import openai

        # An endpoint applies its own chat template, so it gets messages.
        messages: Any = prompt
        if isinstance(prompt, str):
            messages = [{"role": "user", "content": prompt}]

        # The client itself retries what may succeed later.
        try:
            reply = self.client.chat.completions.create(
                model=self.model,
                messages=messages,
                temperature=args.temperature,
                top_p=args.top_p,
                max_tokens=args.max_completion_length,
                seed=seed % 2**31,
            )
            return _to_completion(reply)
        except (
            openai.AuthenticationError,
            openai.NotFoundError,
            openai.PermissionDeniedError,
        ) as error:
            # A refused key or an unknown model fails every request.
            raise UserError(
                f"endpoint {self.url}, model {self.model!r}: {one_line(error, 300)}"
            ) from error
        except (
            openai.OpenAIError,
            ValueError,
            IndexError,
            TypeError,
            AttributeError,
        ) as error:
            # The request failed after all retries, or the reply is malformed (the last four).
            logger.warning("the endpoint failed: %s", one_line(repr(error), 200))
            return None


def _to_completion(reply: "ChatCompletion") -> Completion:
    """The completion in a reply.

    A reasoning model's thinking comes apart from its answer (`reasoning_content`); it is put back
    into the tags.
    """
    choice = reply.choices[0]
    message = choice.message
    text = message.content or ""
    # Servers differ in the name of this field, which OpenAI's own API does not have.
    thinking = getattr(message, "reasoning_content", None) or getattr(message, "reasoning", None)
    tokens = reply.usage.completion_tokens if reply.usage else len(text.split())

    # Truncated while it was thinking: there is no answer.
    if thinking and not text:
        return Completion(f"{THINK}{thinking}", tokens, finished=False)

    # Put the thinking back into tags, and the answer too unless the model did so itself.
    if thinking:
        if ANSWER not in text:
            text = f"{ANSWER}{text}{END_ANSWER}"
        text = f"{THINK}{thinking}{END_THINK}\n{text}"
    return Completion(text, tokens, finished=choice.finish_reason == "stop")
