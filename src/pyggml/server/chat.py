"""POST /v1/chat/completions: OpenAI's chat."""

import secrets
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request

from pyggml import __version__
from pyggml.chat import ArgumentsPiece, CallStart, MessagePiece
from pyggml.engine import DoneEvent, Event, PromptEvent, StartEvent
from pyggml.server.answering import respond
from pyggml.server.chat_answer import ChatAnswer
from pyggml.server.chat_fields import ChatRequest
from pyggml.server.chat_prompt import chat_tokens
from pyggml.server.chat_requests import chat_answers, chat_requests
from pyggml.server.service import Service, service_of
from pyggml.server.streaming import DONE, data
from pyggml.server.timings import timings_json
from pyggml.server.worker import read_prompt

router = APIRouter(tags=["chat"])


class ChatFormat:
    """OpenAI's words: an object with a choice for each answer, or chunks with what is new of one."""

    def __init__(self, service: Service, body: ChatRequest, n_answers: int) -> None:
        self._body = body
        self._answers = chat_answers(body, service, n_answers)
        self._n_shown = [0] * n_answers  # probabilities that went out
        self._begun: set[int] = set()
        self._common = {
            "created": int(time.time()),
            "model": service.name,
            "system_fingerprint": f"pyggml-{__version__}",
            "id": f"chatcmpl-{secrets.token_hex(16)}",
        }

    def add(self, index: int, event: StartEvent | Event) -> Iterator[str]:
        """See `AnswerFormat.add`."""
        if isinstance(event, StartEvent | PromptEvent):
            return
        answer = self._answers[index]
        if index not in self._begun:
            self._begun.add(index)
            yield self._chunk(index, {"role": "assistant", "content": None})
        more = {"timings": timings_json(event.timings)} if event.timings else {}
        for piece in answer.add(event):
            yield self._chunk(index, _delta(piece, answer), more=more)
        if isinstance(event, DoneEvent):
            if self._n_shown[index] < len(answer.probabilities):
                yield self._chunk(index, {"content": ""})
            is_last = not self._body.stream_options.include_usage
            yield self._chunk(index, {}, reason=_finish_reason(answer), more=more if is_last else {})

    def end(self) -> Iterable[str]:
        """See `AnswerFormat.end`."""
        if self._body.stream_options.include_usage:
            yield data({"choices": [], **self._common, "object": "chat.completion.chunk", **self._costs()})
        yield DONE

    def whole(self) -> dict[str, Any]:
        """See `AnswerFormat.whole`."""
        choices = [self._choice(index, answer) for index, answer in enumerate(self._answers)]
        return {"choices": choices, **self._common, "object": "chat.completion", **self._costs()}

    def _chunk(
        self, index: int, delta: dict[str, Any], *, reason: str | None = None, more: Mapping[str, Any] | None = None
    ) -> str:
        """What is new of an answer, with the probabilities that were not shown yet."""
        choice: dict[str, Any] = {"finish_reason": reason, "index": index, "delta": delta}
        if new := self._answers[index].probabilities[self._n_shown[index] :]:
            self._n_shown[index] += len(new)
            choice["logprobs"] = {"content": new}
        return data({"choices": [choice], **self._common, "object": "chat.completion.chunk", **(more or {})})

    def _choice(self, index: int, answer: ChatAnswer) -> dict[str, Any]:
        message: dict[str, Any] = {"role": "assistant", "content": answer.content}
        if answer.calls:
            message["content"] = answer.content or None
            message["tool_calls"] = [
                {"id": f"call_{call.id}", "type": "function", "function": _function(call.name, call.arguments)}
                for call in answer.calls
            ]
        logprobs = {"logprobs": {"content": answer.probabilities}} if answer.probabilities else {}
        return {"finish_reason": _finish_reason(answer), "index": index, "message": message, **logprobs}

    def _costs(self) -> dict[str, Any]:
        done = [answer.done for answer in self._answers if answer.done]
        return {"usage": usage_json(done), "timings": timings_json(done[0].timings)}


def usage_json(done: Sequence[DoneEvent]) -> dict[str, Any]:
    """What the answers to one prompt took, in tokens."""
    first = done[0].timings
    n_prompt, n_answer = first.n_cached + first.n_prompt, sum(event.timings.n_generated for event in done)
    return {
        "completion_tokens": n_answer,
        "prompt_tokens": n_prompt,
        "total_tokens": n_prompt + n_answer,
        "prompt_tokens_details": {"cached_tokens": first.n_cached},
    }


def _finish_reason(answer: ChatAnswer) -> str:
    return "length" if answer.was_cut else "tool_calls" if answer.calls else "stop"


def _function(name: str, arguments: str) -> dict[str, str]:
    return {"name": name, "arguments": arguments}


def _delta(piece: MessagePiece, answer: ChatAnswer) -> dict[str, Any]:
    """What a chunk says of a piece of the message."""
    if isinstance(piece, ArgumentsPiece):
        return {"tool_calls": [{"index": len(answer.calls) - 1, "function": {"arguments": piece.text}}]}
    if isinstance(piece, CallStart):
        call = {"id": f"call_{answer.calls[-1].id}", "type": "function", "function": _function(piece.name, "")}
        return {"tool_calls": [{"index": len(answer.calls) - 1, **call}]}
    return {"content": piece.text}


@router.post("/v1/chat/completions", response_model=None)
@router.post("/chat/completions", response_model=None)
async def chat(body: ChatRequest, client: Request, service: Annotated[Service, Depends(service_of)]) -> Any:
    """Answer a conversation."""
    requests = await read_prompt(client, lambda: chat_requests(body, service), is_slow=body.is_slow)
    form = ChatFormat(service, body, len(requests))
    return await respond(client, service, requests, form, stream=body.stream, ping_seconds=body.ping_seconds(service))


@router.post("/v1/chat/completions/input_tokens", response_model=None)
@router.post("/chat/completions/input_tokens", response_model=None)
async def count_tokens(
    body: ChatRequest, client: Request, service: Annotated[Service, Depends(service_of)]
) -> dict[str, Any]:
    """Tell how many tokens a conversation has."""
    prompt = await read_prompt(client, lambda: chat_tokens(body, service), is_slow=body.has_pictures)
    return {"object": "response.input_tokens", "input_tokens": len(prompt.tokens)}
