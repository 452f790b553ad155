"""One answer of a model, shown while it is generated."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pyggml.cli.console import Console
from pyggml.cli.interruption import Interruption
from pyggml.engine import (
    NO_PICTURES,
    Constraint,
    DoneEvent,
    GenerationOptions,
    PlacedPictures,
    PromptEvent,
    Session,
    TextEvent,
    Timings,
)
from pyggml.sampling import Sampler

INTERRUPTED = "interrupted"


@dataclass(frozen=True)
class Answer:
    """What was generated; `reason` is a `DoneEvent`'s or INTERRUPTED."""

    tokens: tuple[int, ...]
    text: str
    reason: str
    stop_string: str | None
    timings: Timings


class Answerer:
    """Generates answers in one session and shows them as they come."""

    def __init__(
        self,
        console: Console,
        session: Session,
        sampler: Sampler,
        on_prompt_done: Callable[[], None],
        constraint: Constraint | None = None,
    ) -> None:
        """Take what all answers share; `on_prompt_done` is called whenever a prompt is evaluated."""
        self._console = console
        self._session = session
        self._sampler = sampler
        self._on_prompt_done = on_prompt_done
        self._constraint = constraint

    def answer(
        self,
        tokens: Sequence[int],
        options: GenerationOptions,
        show_prompt: Callable[[], None],
        pictures: PlacedPictures = NO_PICTURES,
    ) -> Answer:
        """Continue the tokens until the end, or until Ctrl-C. Calls `show_prompt` when they are evaluated.

        A second Ctrl-C before the first had effect raises KeyboardInterrupt. Raises ContextError.
        """
        generated: list[int] = []
        texts: list[str] = []
        started = time.perf_counter()
        with Interruption() as interruption:
            for event in self._session.generate(tokens, self._sampler, options, self._constraint, pictures):
                match event:
                    case PromptEvent():
                        self._show_progress(event, show_prompt)
                        started = time.perf_counter()
                    case TextEvent():
                        self._show(event, generated, texts)
                    case DoneEvent(reason, stop_string, timings):
                        return Answer(tuple(generated), "".join(texts), reason, stop_string, timings)
                if interruption.requested:
                    break
        self._console.clear_status()
        seconds = time.perf_counter() - started
        timings = Timings(
            n_cached=0, n_prompt=0, prompt_seconds=0.0, n_generated=len(generated), generation_seconds=seconds
        )
        return Answer(tuple(generated), "".join(texts), INTERRUPTED, None, timings)

    def _show(self, event: TextEvent, generated: list[int], texts: list[str]) -> None:
        if event.token is not None:
            generated.append(event.token)
        texts.append(event.text)
        self._console.write(event.text)

    def _show_progress(self, event: PromptEvent, show_prompt: Callable[[], None]) -> None:
        if event.n_done < event.n_total:
            self._console.show_status(f"Reading the prompt: {event.n_done} of {event.n_total} tokens")
        else:
            self._console.clear_status()
            self._on_prompt_done()
            show_prompt()
