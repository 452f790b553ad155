"""POST /v1/messages and /v1/messages/count_tokens: Anthropic's API."""

import json
import secrets
from collections.abc import Iterable, Iterator
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request

from pyggml.chat import ArgumentsPiece, CallStart, ContentPiece, MessagePiece
from pyggml.engine import DoneEvent, Event, PromptEvent, StartEvent
from pyggml.server.answering import respond
from pyggml.server.anthropic_errors import anthropic_body
from pyggml.server.chat_answer import Call, ChatAnswer
from pyggml.server.chat_fields import ChatRequest
from pyggml.server.chat_prompt import chat_tokens
from pyggml.server.chat_requests import chat_answers, chat_requests
from pyggml.server.errors import ApiError
from pyggml.server.messages_fields import MessagesRequest
from pyggml.server.service import Service, service_of
from pyggml.server.streaming import named
from pyggml.server.worker import read_prompt

router = APIRouter(tags=["anthropic"])


class MessagesFormat:
    """Anthropic's words: a message of blocks, or events that build them one after the other."""

    def __init__(self, service: Service, body: ChatRequest) -> None:
        (self._answer,) = chat_answers(body, service, 1)
        self._id = f"msg_{secrets.token_hex(12)}"
        self._model = service.name
        self._start: StartEvent | None = None
        self._n_blocks = 0
        self._open: type[MessagePiece] | None = None  # what the block is of that is being built

    def add(self, _: int, event: StartEvent | Event) -> Iterator[str]:
        """See `AnswerFormat.add`."""
        if isinstance(event, StartEvent):
            if self._start is None:
                self._start = event
                yield _event("message_start", message=self._message([], None, None))
        elif not isinstance(event, PromptEvent):
            for piece in self._answer.add(event):
                yield from self._shown(piece)
            if isinstance(event, DoneEvent):
                yield from self._close()
                delta = {"stop_reason": _stop_reason(self._answer), "stop_sequence": event.stop_string}
                yield _event("message_delta", delta=delta, usage={"output_tokens": event.timings.n_generated})
                yield _event("message_stop")

    def end(self) -> Iterable[str]:
        """See `AnswerFormat.end`."""
        return ()

    def whole(self) -> dict[str, Any]:
        """See `AnswerFormat.whole`."""
        answer = self._answer
        blocks: list[dict[str, Any]] = [{"type": "text", "text": answer.content}] if answer.content else []
        blocks += [{**_tool_use(call), "input": _input(call)} for call in answer.calls]
        return self._message(blocks, _stop_reason(answer), answer.done.stop_string if answer.done else None)

    def _message(self, blocks: list[dict[str, Any]], reason: str | None, stop_string: str | None) -> dict[str, Any]:
        return {
            "id": self._id,
            "type": "message",
            "role": "assistant",
            "content": blocks,
            "model": self._model,
            "stop_reason": reason,
            "stop_sequence": stop_string,
            "usage": self._usage(),
        }

    def _usage(self) -> dict[str, int]:
        n_prompt, n_cached = (self._start.n_prompt, self._start.n_cached) if self._start else (0, 0)
        n_generated = self._answer.done.timings.n_generated if self._answer.done else 0
        return {
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": n_cached,
            "input_tokens": n_prompt - n_cached,
            "output_tokens": n_generated,
        }

    def _shown(self, piece: MessagePiece) -> Iterator[str]:
        """The events of a piece of the message."""
        if isinstance(piece, ArgumentsPiece):
            yield self._delta({"type": "input_json_delta", "partial_json": piece.text})
        elif isinstance(piece, CallStart):
            yield from self._begin(piece, {**_tool_use(self._answer.calls[-1]), "input": {}})
        else:
            if self._open is not ContentPiece:
                yield from self._begin(piece, {"type": "text", "text": ""})
            yield self._delta({"type": "text_delta", "text": piece.text})

    def _begin(self, piece: MessagePiece, block: dict[str, Any]) -> Iterator[str]:
        yield from self._close()
        self._open = type(piece)
        self._n_blocks += 1
        yield _event("content_block_start", index=self._n_blocks - 1, content_block=block)

    def _delta(self, delta: dict[str, str]) -> str:
        return _event("content_block_delta", index=self._n_blocks - 1, delta=delta)

    def _close(self) -> Iterator[str]:
        if self._open:
            self._open = None
            yield _event("content_block_stop", index=self._n_blocks - 1)


def _event(name: str, /, **fields: Any) -> str:
    return named(name, {"type": name, **fields})


def _stop_reason(answer: ChatAnswer) -> str:
    if answer.was_cut:
        return "max_tokens"
    if answer.calls:
        return "tool_use"
    return "stop_sequence" if answer.done and answer.done.stop_string else "end_turn"


def _tool_use(call: Call) -> dict[str, Any]:
    return {"type": "tool_use", "id": f"toolu_{call.id}", "name": call.name}


def _input(call: Call) -> dict[str, Any]:
    """The arguments of a call; none if they broke off, as the API knows only whole ones."""
    try:
        value = json.loads(call.arguments)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _error_event(error: ApiError) -> str:
    return named("error", anthropic_body(error.status, error.message))


@router.post("/v1/messages", response_model=None)
async def create_message(
    body: MessagesRequest, client: Request, service: Annotated[Service, Depends(service_of)]
) -> Any:
    """Answer a conversation."""
    chat = body.to_chat()
    requests = await read_prompt(client, lambda: chat_requests(chat, service), is_slow=chat.is_slow)
    form = MessagesFormat(service, chat)
    return await respond(client, service, requests, form, stream=body.stream, as_event=_error_event)


@router.post("/v1/messages/count_tokens", response_model=None)
async def count_tokens(
    body: MessagesRequest, client: Request, service: Annotated[Service, Depends(service_of)]
) -> dict[str, int]:
    """Tell how many tokens a conversation has."""
    chat = body.to_chat()
    prompt = await read_prompt(client, lambda: chat_tokens(chat, service), is_slow=chat.has_pictures)
    return {"input_tokens": len(prompt.tokens)}
