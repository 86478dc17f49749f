"""Requests to an OpenAI-compatible endpoint, bounded in bytes and in time whatever it replies."""

import asyncio
import json
import logging
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from openai import AsyncOpenAI

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Reply:
    """What a model replied.

    Attributes:
        text: its message; empty if it has none.
        thinking: what a reasoning model thought, where the server keeps that apart.
        finish_reason: `stop`, or `length` if the reply is truncated.
        tokens: its length, if the server counts.
    """

    text: str
    thinking: str
    finish_reason: str | None
    tokens: int | None


@dataclass(frozen=True)
class Endpoint:
    """A model behind an endpoint.

    Attributes:
        base_url: such as http://localhost:8000/v1.
        model: its name there.
        api_key_variable: environment variable that holds the key.
        timeout_seconds: limit for one attempt, from the connection to the last byte.
        retries: further attempts, after a timeout, a lost connection, or an overloaded server.
        concurrency: concurrent requests.
        max_bytes: size of a reply.
    """

    base_url: str
    model: str
    api_key_variable: str
    timeout_seconds: float
    retries: int
    concurrency: int
    max_bytes: int

    def complete(self, requests: Sequence[Mapping[str, Any]]) -> list[Reply | None]:
        """The replies to chat requests, in order; `None`, logged, for each that has none.

        Raises openai's `AuthenticationError`, `NotFoundError` or `PermissionDeniedError`: every
        other request would fail the same way.
        """
        # A thread of its own, because that of the caller may run a loop: a notebook's does.
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(asyncio.run, self._complete_all(requests)).result()

    async def _complete_all(self, requests: Sequence[Mapping[str, Any]]) -> list[Reply | None]:
        free = asyncio.Semaphore(self.concurrency)
        async with _open_client(self) as client:

            async def complete(request: Mapping[str, Any]) -> Reply | None:
                async with free:
                    return await self._complete_one(client, request)

            return await asyncio.gather(*map(complete, requests))

    async def _complete_one(
        self, client: "AsyncOpenAI", request: Mapping[str, Any]
    ) -> Reply | None:
        from openai import (
            AuthenticationError,
            NotFoundError,
            OpenAIError,
            PermissionDeniedError,
        )

        try:
            raw = await client.chat.completions.with_raw_response.create(
                model=self.model, **request
            )
            return read_reply(raw.content)
        except (AuthenticationError, NotFoundError, PermissionDeniedError):
            raise
        except (OpenAIError, ValueError) as error:
            reason = " ".join(str(error).split())[:200]
            logger.warning("the endpoint failed: %s at %s: %s", self.model, self.base_url, reason)
            return None


def read_reply(body: bytes) -> Reply:
    """The first choice of a chat completion. Raises `ValueError` for anything else."""
    try:
        completion = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"the reply is not JSON: {body[:50]!r}") from error
    match completion:
        case {"choices": [{"message": {"content": str() | None as text, **message}, **choice}, *_]}:
            pass
        case {"choices": [{"message": {**message}, **choice}, *_]} if "content" not in message:
            text = None
        case _:
            raise ValueError(f"the reply has no message: {body[:100]!r}")

    # Servers differ in the name of this field, which OpenAI's own API does not have.
    thinking = message.get("reasoning_content") or message.get("reasoning")
    usage = completion.get("usage")
    tokens = usage.get("completion_tokens") if isinstance(usage, dict) else None
    reason = choice.get("finish_reason")
    return Reply(
        text=text or "",
        thinking=thinking if isinstance(thinking, str) else "",
        finish_reason=reason if isinstance(reason, str) else None,
        tokens=tokens if isinstance(tokens, int) else None,
    )


def _open_client(endpoint: Endpoint) -> "AsyncOpenAI":
    """A client that reads no more than the limits of `endpoint` allow."""
    # Only those who ask an endpoint need these packages.
    import httpx2
    from openai import AsyncOpenAI, DefaultAsyncHttpxClient, OpenAIError

    class BoundedStream(httpx2.AsyncByteStream):
        def __init__(self, stream: httpx2.AsyncByteStream) -> None:
            self.stream = stream

        async def __aiter__(self) -> AsyncIterator[bytes]:
            size = 0
            async for chunk in self.stream:
                size += len(chunk)
                if size > endpoint.max_bytes:
                    raise OpenAIError(f"the reply is larger than {endpoint.max_bytes} bytes")
                yield chunk

        async def aclose(self) -> None:
            await self.stream.aclose()

    async def bound(response: httpx2.Response) -> None:
        # What is compressed may be a thousand times as large.
        if response.headers.get("Content-Encoding", "identity") != "identity":
            raise OpenAIError("the reply is compressed, which was not asked for")
        assert isinstance(response.stream, httpx2.AsyncByteStream)
        response.stream = BoundedStream(response.stream)

    class BoundedClient(DefaultAsyncHttpxClient):
        async def send(self, request: httpx2.Request, **options: Any) -> httpx2.Response:
            # The client's own limit is for each read: a byte at a time, it never ends.
            try:
                async with asyncio.timeout(endpoint.timeout_seconds):
                    return await super().send(request, **options)
            except TimeoutError as error:
                raise httpx2.ReadTimeout("no whole reply in time", request=request) from error

    return AsyncOpenAI(
        base_url=endpoint.base_url,
        api_key=os.environ.get(endpoint.api_key_variable) or "none",  # local servers need none
        timeout=endpoint.timeout_seconds,
        max_retries=endpoint.retries,
        default_headers={"Accept-Encoding": "identity"},
        http_client=BoundedClient(event_hooks={"response": [bound]}),
    )
