"""POST /v1/completions: OpenAI's text completion."""

import secrets
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request

from pyggml import __version__
from pyggml.engine import DoneEvent, Event, GenerationRequest, StartEvent, TextEvent
from pyggml.server.answering import respond
from pyggml.server.completion import Answer, CompletionFields, CompletionRequest
from pyggml.server.service import Service, service_of
from pyggml.server.streaming import DONE, data
from pyggml.server.timings import timings_json
from pyggml.server.worker import read_prompt

router = APIRouter(tags=["openai"])


def usage_json(done: Sequence[DoneEvent], n_per_prompt: int = 1) -> dict[str, Any]:
    """What answers took, in tokens; all of them together, of which each `n_per_prompt` are to the same prompt."""
    prompts = [event.timings for event in done[::n_per_prompt]]
    n_prompt = sum(each.n_prompt + each.n_cached for each in prompts)
    n_answer = sum(event.timings.n_generated for event in done)
    return {
        "completion_tokens": n_answer,
        "prompt_tokens": n_prompt,
        "total_tokens": n_prompt + n_answer,
        "prompt_tokens_details": {"cached_tokens": sum(each.n_cached for each in prompts)},
    }


class TextCompletionFormat:
    """OpenAI's words: an object with a choice for each answer, or chunks of one choice and a last one of none."""

    def __init__(self, service: Service, body: CompletionFields, requests: Sequence[GenerationRequest]) -> None:
        self._answers = [Answer(service, body, request, index) for index, request in enumerate(requests)]
        self._body = body
        self._done: dict[int, DoneEvent] = {}
        self._choices: dict[int, dict[str, Any]] = {}
        self._texts: dict[int, list[str]] = {index: [] for index in range(len(requests))}
        self._common = {
            "created": int(time.time()),
            "model": service.name,
            "system_fingerprint": f"pyggml-{__version__}",
            "object": "text_completion",
            "id": f"cmpl-{secrets.token_urlsafe(24)}",
        }

    def add(self, index: int, event: StartEvent | Event) -> Iterator[str]:
        """See `AnswerFormat.add`."""
        piece = self._answers[index].add(event) or {}
        if isinstance(event, DoneEvent):
            self._done[index] = event
            yield data(self._end(index, event, piece))
        elif isinstance(event, TextEvent):
            self._texts[index].append(event.text)
            if event.text or "completion_probabilities" in piece:
                yield data({**self._chunk(index, event.text, piece), **_extra(piece)})
        elif piece:
            yield data({**self._chunk(index, "", piece), **_extra(piece)})

    def end(self) -> Iterable[str]:
        """See `AnswerFormat.end`."""
        if self._body.stream_options.include_usage:
            yield data({**self._common, "choices": [], "usage": self._usage()})
        yield DONE

    def whole(self) -> dict[str, Any]:
        """See `AnswerFormat.whole`."""
        return {
            "choices": [self._choices[index] for index in sorted(self._choices)],
            **self._common,
            "usage": self._usage(),
            "timings": timings_json(self._done[0].timings),
        }

    def _usage(self) -> dict[str, Any]:
        return usage_json([self._done[index] for index in sorted(self._done)], self._body.n_cmpl)

    def _chunk(self, index: int, text: str, piece: dict[str, Any], reason: str | None = None) -> dict[str, Any]:
        found = piece.get("completion_probabilities")
        choice = {
            "text": text,
            "index": index,
            "logprobs": {"content": found} if found else None,
            "finish_reason": reason,
        }
        return {"choices": [choice], **self._common}

    def _end(self, index: int, event: DoneEvent, piece: dict[str, Any]) -> dict[str, Any]:
        reason = "stop" if event.reason in ("eos", "stop") else "length"
        text = "" if self._body.stream else "".join(self._texts[index])
        chunk = self._chunk(index, text, piece, reason)
        (self._choices[index],) = chunk["choices"]
        return {**chunk, "usage": usage_json([event]), "timings": timings_json(event.timings)}


def _extra(piece: dict[str, Any]) -> dict[str, Any]:
    """What llama-server shows beside OpenAI's fields."""
    return {name: piece[name] for name in ("timings", "prompt_progress") if name in piece}


@router.post("/v1/completions", response_model=None)
async def complete(body: CompletionRequest, client: Request, service: Annotated[Service, Depends(service_of)]) -> Any:
    """Continue prompts."""
    body = body.model_copy(update={"response_fields": []})
    requests = await read_prompt(client, lambda: body.to_requests(service), is_slow=body.is_slow)
    form = TextCompletionFormat(service, body, requests)
    return await respond(client, service, requests, form, stream=body.stream, ping_seconds=body.ping_seconds(service))
