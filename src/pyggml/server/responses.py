"""POST /v1/responses: OpenAI's responses. None is kept: each request brings its whole conversation."""

import secrets
import time
from collections.abc import Iterable, Iterator
from itertools import count
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request

from pyggml.chat import ArgumentsPiece, CallStart, ContentPiece, MessagePiece
from pyggml.engine import DoneEvent, Event, PromptEvent, StartEvent
from pyggml.server.answering import respond
from pyggml.server.chat_answer import ChatAnswer
from pyggml.server.chat_fields import ChatRequest
from pyggml.server.chat_prompt import chat_tokens
from pyggml.server.chat_requests import chat_answers, chat_requests
from pyggml.server.errors import ApiError
from pyggml.server.responses_fields import ResponsesRequest
from pyggml.server.service import Service, service_of
from pyggml.server.streaming import named
from pyggml.server.worker import read_prompt

router = APIRouter(tags=["openai"])


class ResponsesFormat:
    """OpenAI's words: a response with items of output, or events that build them one after the other."""

    def __init__(self, service: Service, body: ResponsesRequest, chat: ChatRequest) -> None:
        (self._answer,) = chat_answers(chat, service, 1)
        self._body = body
        self._numbers = count()
        self._output: list[dict[str, Any]] = []  # the last item is the one that is being built
        self._has_begun = self._is_open = False
        self._n_shown = 0  # probabilities that went out
        self._response = {
            "id": f"resp_{secrets.token_hex(24)}",
            "object": "response",
            "created_at": int(time.time()),
            "model": service.name,
            **_settings(body),
        }

    def add(self, _: int, event: StartEvent | Event) -> Iterator[str]:
        """See `AnswerFormat.add`."""
        if isinstance(event, StartEvent):
            if not self._has_begun:
                self._has_begun = True
                yield self._event("response.created", response=self._state("in_progress"))
                yield self._event("response.in_progress", response=self._state("in_progress"))
        elif not isinstance(event, PromptEvent):
            for piece in self._answer.add(event):
                yield from self._shown(piece)
            if isinstance(event, DoneEvent):
                yield from self._close(_status(self._answer))
                status = _status(self._answer)
                yield self._event(f"response.{status}", response=self._state(status))

    def end(self) -> Iterable[str]:
        """See `AnswerFormat.end`."""
        return ()

    def whole(self) -> dict[str, Any]:
        """See `AnswerFormat.whole`."""
        return self._state(_status(self._answer))

    def error_event(self, error: ApiError) -> str:
        """The error that ends a stream."""
        return self._event("error", code=error.type, message=error.message, param=None)

    def _event(self, name: str, /, **fields: Any) -> str:
        return named(name, {"type": name, **fields, "sequence_number": next(self._numbers)})

    def _state(self, status: str) -> dict[str, Any]:
        """The response as it is now."""
        is_incomplete = status == "incomplete"
        return {
            **self._response,
            "status": status,
            "error": None,
            "incomplete_details": {"reason": "max_output_tokens"} if is_incomplete else None,
            "output": self._output,
            "usage": _usage(self._answer.done) if self._answer.done else None,
        }

    def _shown(self, piece: MessagePiece) -> Iterator[str]:
        """The events of a piece of the message."""
        if isinstance(piece, CallStart):
            yield from self._begin(_call_item(piece.name, self._answer.calls[-1].id))
        elif isinstance(piece, ContentPiece) and not (self._is_open and self._output[-1]["type"] == "message"):
            yield from self._begin(_message_item())
            yield self._event("response.content_part.added", **self._place(), content_index=0, part=_part("", []))
        item = self._output[-1]
        if isinstance(piece, ArgumentsPiece):
            item["arguments"] += piece.text
            yield self._event("response.function_call_arguments.delta", **self._place(), delta=piece.text)
        elif isinstance(piece, ContentPiece):
            new = self._answer.probabilities[self._n_shown :]
            self._n_shown += len(new)
            (part,) = item["content"] or [_part("", [])]
            item["content"] = [_part(part["text"] + piece.text, part["logprobs"] + new)]
            delta = {"content_index": 0, "delta": piece.text, "logprobs": new}
            yield self._event("response.output_text.delta", **self._place(), **delta)

    def _begin(self, item: dict[str, Any]) -> Iterator[str]:
        yield from self._close("completed")
        self._output.append(item)
        self._is_open = True
        yield self._event("response.output_item.added", output_index=len(self._output) - 1, item=item)

    def _close(self, status: str) -> Iterator[str]:
        """Finish the item that is being built, if there is one."""
        if not self._is_open:
            return
        self._is_open = False
        item = self._output[-1]
        if item["type"] == "message":
            (part,) = item["content"]
            place = {**self._place(), "content_index": 0}
            yield self._event("response.output_text.done", **place, text=part["text"], logprobs=part["logprobs"])
            yield self._event("response.content_part.done", **place, part=part)
        else:
            whole = {"name": item["name"], "arguments": item["arguments"]}
            yield self._event("response.function_call_arguments.done", **self._place(), **whole)
        item["status"] = status
        yield self._event("response.output_item.done", output_index=len(self._output) - 1, item=item)

    def _place(self) -> dict[str, Any]:
        return {"item_id": self._output[-1]["id"], "output_index": len(self._output) - 1}


def _settings(body: ResponsesRequest) -> dict[str, Any]:
    """What the request asked for, as the response repeats it."""
    return {
        "instructions": body.instructions,
        "max_output_tokens": body.max_output_tokens,
        "metadata": body.metadata,
        "parallel_tool_calls": body.parallel_tool_calls,
        "previous_response_id": None,
        "store": False,
        "temperature": body.temperature,
        "text": {"format": {"type": "text"}} if body.text is None else body.text.model_dump(by_alias=True),
        "tool_choice": body.tool_choice if isinstance(body.tool_choice, str) else body.tool_choice.model_dump(),
        "tools": [tool.model_dump() for tool in body.tools],
        "top_p": body.top_p,
        "truncation": "disabled",
    }


def _status(answer: ChatAnswer) -> str:
    return "incomplete" if answer.was_cut else "completed"


def _usage(done: DoneEvent) -> dict[str, Any]:
    n_prompt, n_answer = done.timings.n_cached + done.timings.n_prompt, done.timings.n_generated
    return {
        "input_tokens": n_prompt,
        "input_tokens_details": {"cached_tokens": done.timings.n_cached},
        "output_tokens": n_answer,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": n_prompt + n_answer,
    }


def _message_item() -> dict[str, Any]:
    return {
        "type": "message",
        "id": f"msg_{secrets.token_hex(24)}",
        "role": "assistant",
        "status": "in_progress",
        "content": [],
    }


def _call_item(name: str, call_id: str) -> dict[str, Any]:
    return {
        "type": "function_call",
        "id": f"fc_{secrets.token_hex(24)}",
        "call_id": f"call_{call_id}",
        "name": name,
        "arguments": "",
        "status": "in_progress",
    }


def _part(text: str, logprobs: list[dict[str, Any]]) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": logprobs}


@router.post("/v1/responses", response_model=None)
@router.post("/responses", response_model=None)
async def respond_to(body: ResponsesRequest, client: Request, service: Annotated[Service, Depends(service_of)]) -> Any:
    """Answer a conversation."""
    chat = body.to_chat()
    requests = await read_prompt(client, lambda: chat_requests(chat, service), is_slow=chat.is_slow)
    form = ResponsesFormat(service, body, chat)
    return await respond(client, service, requests, form, stream=body.stream, as_event=form.error_event)


@router.post("/v1/responses/input_tokens", response_model=None)
@router.post("/responses/input_tokens", response_model=None)
async def count_tokens(
    body: ResponsesRequest, client: Request, service: Annotated[Service, Depends(service_of)]
) -> dict[str, Any]:
    """Tell how many tokens a conversation has."""
    chat = body.to_chat()
    prompt = await read_prompt(client, lambda: chat_tokens(chat, service), is_slow=chat.has_pictures)
    return {"object": "response.input_tokens", "input_tokens": len(prompt.tokens)}
