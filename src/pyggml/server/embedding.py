"""POST /embedding and /v1/embeddings: texts as vectors; and /rerank, which no model here can do."""

import asyncio
import base64
from collections.abc import Sequence
from typing import Annotated, Any, Literal, NoReturn

from fastapi import APIRouter, Depends, Request
from pydantic import Field

from pyggml.engine import Vectors, normalized
from pyggml.errors import UsageError
from pyggml.server.errors import ApiError
from pyggml.server.fields import RequestBody
from pyggml.server.generation import while_connected
from pyggml.server.prompts import AnyPrompt, prompts_of, tokens_of
from pyggml.server.service import Service, service_of
from pyggml.server.worker import read_prompt

router = APIRouter(tags=["embeddings"])


class EmbeddingRequest(RequestBody):
    """The body: texts or tokens under either name."""

    input: AnyPrompt | None = None
    content: AnyPrompt | None = None
    encoding_format: Literal["float", "base64"] = "float"
    embd_normalize: int = Field(2, ge=-1, le=1024)
    model: str | None = None

    def texts(self, service: Service) -> list[list[int]]:
        """The tokens of each text. Raises UsageError."""
        given = self.content if self.input is None else self.input
        if given is None:
            raise UsageError('"input" or "content" must be provided')
        return [tokens_of(service.model, prompt) for prompt in prompts_of(given)]


@router.post("/embedding", response_model=None)
@router.post("/embeddings", response_model=None)
async def embed(
    body: EmbeddingRequest, client: Request, service: Annotated[Service, Depends(service_of)]
) -> list[dict[str, Any]]:
    """The vectors of texts; one for each token if the server pools none."""
    _, vectors = await _vectors(body, client, service)
    return [{"index": index, "embedding": each.tolist()} for index, each in enumerate(vectors)]


@router.post("/v1/embeddings", response_model=None)
async def embed_for_openai(
    body: EmbeddingRequest, client: Request, service: Annotated[Service, Depends(service_of)]
) -> Any:
    """The vectors of texts, in OpenAI's words."""
    if service.options.embeddings and service.options.pooling == "none":
        raise ApiError(
            400, "Pooling type 'none' is not OAI compatible. Please use a different pooling type: start with --pooling"
        )
    if body.input is None:
        return await embed(body, client, service)
    texts, vectors = await _vectors(body, client, service)
    n_tokens = sum(map(len, texts))
    return {
        "model": body.model or service.name,
        "object": "list",
        "usage": {"prompt_tokens": n_tokens, "total_tokens": n_tokens},
        "data": [_vector_json(index, each, body.encoding_format) for index, each in enumerate(vectors)],
    }


async def _vectors(
    body: EmbeddingRequest, client: Request, service: Service
) -> tuple[Sequence[Sequence[int]], list[Vectors]]:
    """The tokens of each text, and its vectors; those of a client that leaves are given up."""
    options = service.options
    if not options.embeddings:
        raise ApiError(501, "This server does not support embeddings. Start it with `--embeddings`")
    texts = await read_prompt(client, lambda: body.texts(service))
    future = service.scheduler.embed(texts, options.pooling)
    try:
        async with while_connected(client):
            vectors = await asyncio.wrap_future(future)
    finally:
        future.cancel()
    if options.pooling == "none":
        return texts, vectors
    return texts, [normalized(each, body.embd_normalize) for each in vectors]


def _vector_json(index: int, vectors: Vectors, encoding: str) -> dict[str, Any]:
    shown = {"index": index, "object": "embedding"}
    if encoding == "base64":
        return {**shown, "embedding": base64.b64encode(vectors[0].tobytes()).decode(), "encoding_format": "base64"}
    return {**shown, "embedding": vectors[0].tolist()}


@router.post("/rerank", response_model=None)
@router.post("/reranking", response_model=None)
@router.post("/v1/rerank", response_model=None)
@router.post("/v1/reranking", response_model=None)
async def rerank() -> NoReturn:
    """Not supported: a model that ranks has a head of its own, and pyggml runs none of these."""
    raise ApiError(
        501, "This server does not support reranking: it needs a model made for it, of a kind not supported yet"
    )
