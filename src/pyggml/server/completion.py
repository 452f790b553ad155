"""POST /completion: llama-server's own API."""

from collections.abc import Iterable, Iterator
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from pydantic import Field

from pyggml.engine import DoneEvent, Event, GenerationRequest, StartEvent, TextEvent
from pyggml.server.answering import respond
from pyggml.server.fields import GenerationFields, lifted, slot_of
from pyggml.server.service import Service, service_of
from pyggml.server.streaming import data
from pyggml.server.timings import timings_json

router = APIRouter(tags=["completion"])
_STOP_TYPES = {"eos": "eos", "stop": "word", "length": "limit", "context": "limit"}


class CompletionRequest(GenerationFields):
    """The body of /completion."""

    prompt: str | list[int | str]
    response_fields: list[str] = Field(default_factory=list)

    def tokens(self, service: Service) -> tuple[int, ...]:
        """The prompt as tokens; in a list, texts and tokens follow each other."""
        if isinstance(self.prompt, str):
            return tuple(service.model.tokenize(self.prompt, parse_special=True))
        tokens: list[int] = []
        for index, piece in enumerate(self.prompt):
            if isinstance(piece, int):
                tokens.append(piece)
            else:
                tokens += service.model.tokenize(piece, add_special=index == 0, parse_special=True)
        return tuple(tokens)

    def to_request(self, service: Service) -> GenerationRequest:
        """What the scheduler is asked for. Raises UsageError, SamplingError."""
        return GenerationRequest(
            tokens=self.tokens(service),
            sampling=self.sampling(service),
            generation=self.generation(service),
            post_sampling_probabilities=self.post_sampling_probs,
            slot=slot_of(self.id_slot),
            reuse=self.cache_prompt,
        )


class NativeFormat:
    """llama-server's words: a stream of pieces whose last one has everything but the text."""

    def __init__(self, service: Service, body: CompletionRequest) -> None:
        self._service = service
        self._body = body
        self._slot = -1
        self._n_prompt = 0
        self._texts: list[str] = []
        self._tokens: list[int] = []
        self._whole: dict[str, Any] = {}

    def add(self, index: int, event: StartEvent | Event) -> Iterator[str]:
        """See `AnswerFormat.add`."""
        if isinstance(event, StartEvent):
            self._slot, self._n_prompt = event.slot, event.n_prompt
        elif isinstance(event, TextEvent):
            self._texts.append(event.text)
            if event.token is not None:
                self._tokens.append(event.token)
            if event.text:
                yield data(self._piece(index, event))
        elif isinstance(event, DoneEvent):
            self._whole = self._last(index, event)
            yield data(self._whole)

    def end(self) -> Iterable[str]:
        """See `AnswerFormat.end`."""
        return ()

    def whole(self) -> dict[str, Any]:
        """See `AnswerFormat.whole`."""
        return self._whole

    def _piece(self, index: int, event: TextEvent) -> dict[str, Any]:
        return {
            "index": index,
            "content": event.text,
            "tokens": [] if event.token is None else [event.token],
            "stop": False,
            "id_slot": self._slot,
            "tokens_predicted": len(self._tokens),
            "tokens_evaluated": self._n_prompt,
        }

    def _last(self, index: int, event: DoneEvent) -> dict[str, Any]:
        is_stream = self._body.stream
        answer = {
            "index": index,
            "content": "" if is_stream else "".join(self._texts),
            "tokens": self._tokens if self._body.return_tokens and not is_stream else [],
            "id_slot": self._slot,
            "stop": True,
            "model": self._service.name,
            "tokens_predicted": event.timings.n_generated,
            "tokens_evaluated": self._n_prompt,
            "has_new_line": any("\n" in text for text in self._texts),
            "truncated": event.is_truncated,
            "stop_type": _STOP_TYPES[event.reason],
            "stopping_word": event.stop_string or "",
            "tokens_cached": self._n_prompt + max(0, event.timings.n_generated - 1),
            "timings": timings_json(event.timings),
        }
        return lifted(answer, self._body.response_fields) if self._body.response_fields else answer


@router.post("/completion", response_model=None)
@router.post("/completions", response_model=None)
async def complete(body: CompletionRequest, client: Request, service: Annotated[Service, Depends(service_of)]) -> Any:
    """Continue a prompt."""
    form = NativeFormat(service, body)
    return await respond(client, service, [body.to_request(service)], form, stream=body.stream)
