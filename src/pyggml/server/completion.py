"""POST /completion: llama-server's own API."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from pydantic import Field

from pyggml.engine import (
    DoneEvent,
    Event,
    GenerationRequest,
    Prompt,
    PromptEvent,
    StartEvent,
    TextEvent,
    text_tokens,
)
from pyggml.server.answering import respond
from pyggml.server.fields import GenerationFields, lifted
from pyggml.server.probabilities import probabilities_json
from pyggml.server.prompts import AnyPrompt, PromptObject, prompt_of, prompts_of
from pyggml.server.service import Service, service_of
from pyggml.server.settings import settings_json
from pyggml.server.streaming import data
from pyggml.server.structure import StructureFields, constrained
from pyggml.server.timings import timings_json
from pyggml.server.worker import read_prompt

router = APIRouter(tags=["completion"])
_STOP_TYPES = {"eos": "eos", "stop": "word", "length": "limit", "context": "limit"}


class CompletionFields(GenerationFields, StructureFields):
    """What /completion and its relatives take beside the prompt."""

    response_fields: list[str] = Field(default_factory=list)

    def requests(self, service: Service, prompts: Sequence[Prompt]) -> list[GenerationRequest]:
        """See `GenerationFields.requests`. Raises GrammarError, too."""
        constraint = self.constraint(service.grammars)
        return constrained(super().requests(service, prompts), constraint)


class CompletionRequest(CompletionFields):
    """The body of /completion."""

    prompt: AnyPrompt

    def to_requests(self, service: Service) -> list[GenerationRequest]:
        """What the scheduler is asked for. Raises UsageError, SamplingError, ImageError."""
        return self.requests(service, [prompt_of(service, prompt) for prompt in prompts_of(self.prompt)])

    @property
    def is_slow(self) -> bool:
        """Whether it may take long to know what is asked for: a grammar does, and so do pictures."""
        pictures = any(isinstance(each, PromptObject) and each.multimodal_data for each in prompts_of(self.prompt))
        return self.has_structure or pictures


class Answer:
    """One answer as it grows."""

    def __init__(self, service: Service, body: CompletionFields, request: GenerationRequest, index: int) -> None:
        self._service = service
        self._body = body
        self._request = request
        self._index = index
        self._slot = -1
        self._n_cached = 0
        self._texts: list[str] = []
        self._tokens: list[int] = []
        self._probabilities: list[dict[str, Any]] = []
        self.whole: dict[str, Any] = {}

    def add(self, event: StartEvent | Event) -> dict[str, Any] | None:
        """Take an event in; gives the piece that a stream shows, if any."""
        if isinstance(event, StartEvent):
            self._slot, self._n_cached = event.slot, event.n_cached
            return self._progress(event.n_cached, 0.0)
        if isinstance(event, PromptEvent):
            return self._progress(event.n_done, event.seconds)
        if isinstance(event, TextEvent):
            return self._take(event)
        self.whole = self._last(event)
        return self.whole

    def _take(self, event: TextEvent) -> dict[str, Any]:
        probabilities = probabilities_json(
            self._service.model.tokenizer, event, post_sampling=self._body.post_sampling_probs
        )
        self._texts.append(event.text)
        self._tokens += [] if event.token is None else [event.token]
        self._probabilities += probabilities
        piece = self._piece(event.text, event.token)
        if event.timings:
            piece["timings"] = timings_json(event.timings)
        if probabilities:
            piece["completion_probabilities"] = probabilities
        return piece

    def _progress(self, n_done: int, seconds: float) -> dict[str, Any] | None:
        if not self._body.return_progress:
            return None
        counts = {"total": len(self._request.tokens), "cache": self._n_cached, "processed": n_done}
        return {**self._piece("", None), "prompt_progress": {**counts, "time_ms": int(seconds * 1e3)}}

    def _piece(self, text: str, token: int | None) -> dict[str, Any]:
        return {
            "index": self._index,
            "content": text,
            "tokens": [] if token is None else [token],
            "stop": False,
            "id_slot": self._slot,
            "tokens_predicted": len(self._tokens),
            "tokens_evaluated": len(self._request.tokens),
        }

    def _last(self, event: DoneEvent) -> dict[str, Any]:
        is_stream, tokenizer = self._body.stream, self._service.model.tokenizer
        n_prompt, n_generated = len(self._request.tokens), event.timings.n_generated
        answer = {
            "index": self._index,
            "content": "" if is_stream else "".join(self._texts),
            "tokens": self._tokens if self._body.return_tokens and not is_stream else [],
            "id_slot": self._slot,
            "stop": True,
            "model": self._service.name,
            "tokens_predicted": n_generated,
            "tokens_evaluated": n_prompt,
            "generation_settings": settings_json(
                self._request, stream=is_stream, end_of_generation=tokenizer.end_of_generation
            ),
            "prompt": tokenizer.detokenize(text_tokens(self._request.tokens), render_special=True),
            "has_new_line": any("\n" in text for text in self._texts),
            "truncated": event.is_truncated,
            "stop_type": _STOP_TYPES[event.reason],
            "stopping_word": event.stop_string or "",
            "tokens_cached": n_prompt + max(0, n_generated - 1),
            "timings": timings_json(event.timings),
        }
        if self._probabilities and not is_stream:
            answer["completion_probabilities"] = self._shown_probabilities(event.stop_string)
        return lifted(answer, self._body.response_fields) if self._body.response_fields else answer

    def _shown_probabilities(self, stop_string: str | None) -> list[dict[str, Any]]:
        """Without those of the stop string, whose tokens are counted as if it stood alone; so does llama-server."""
        if stop_string is None:
            return self._probabilities
        n_stop = len(self._service.model.tokenize(stop_string, add_special=False))
        return self._probabilities[: max(0, len(self._probabilities) - n_stop)]


class NativeFormat:
    """llama-server's words: a stream of pieces whose last one has everything but the text; a list for more answers."""

    def __init__(self, service: Service, body: CompletionFields, requests: Sequence[GenerationRequest]) -> None:
        self._answers = [Answer(service, body, request, index) for index, request in enumerate(requests)]

    def add(self, index: int, event: StartEvent | Event) -> Iterator[str]:
        """See `AnswerFormat.add`."""
        if (piece := self._answers[index].add(event)) is not None:
            yield data(piece)

    def end(self) -> Iterable[str]:
        """See `AnswerFormat.end`."""
        return ()

    def whole(self) -> Any:
        """See `AnswerFormat.whole`."""
        answers = [answer.whole for answer in self._answers]
        return answers[0] if len(answers) == 1 else answers


@router.post("/completion", response_model=None)
@router.post("/completions", response_model=None)
async def complete(body: CompletionRequest, client: Request, service: Annotated[Service, Depends(service_of)]) -> Any:
    """Continue prompts."""
    requests = await read_prompt(client, lambda: body.to_requests(service), is_slow=body.is_slow)
    form = NativeFormat(service, body, requests)
    return await respond(client, service, requests, form, stream=body.stream, ping_seconds=body.ping_seconds(service))
