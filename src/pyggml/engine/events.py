"""What generation tells, one event at a time."""

from dataclasses import dataclass
from typing import Literal

from pyggml.engine.probabilities import TokenProbabilities
from pyggml.errors import PyggmlError

Reason = Literal["eos", "stop", "length", "context"]


@dataclass(frozen=True)
class Timings:
    """How long the two phases took; seconds."""

    n_cached: int
    """Prompt tokens found in the cache."""
    n_prompt: int
    """Prompt tokens evaluated."""
    prompt_seconds: float
    n_generated: int
    """Tokens sampled."""
    generation_seconds: float
    """From the end of the prompt to the last token."""

    @property
    def prompt_per_second(self) -> float:
        """Prompt tokens evaluated a second; 0 if there were none."""
        return self.n_prompt / self.prompt_seconds if self.prompt_seconds else 0.0

    @property
    def generated_per_second(self) -> float:
        """Tokens generated a second; 0 if there were none."""
        return self.n_generated / self.generation_seconds if self.generation_seconds else 0.0


@dataclass(frozen=True)
class PromptEvent:
    """A batch of the prompt was evaluated."""

    n_done: int
    n_total: int
    seconds: float = 0.0
    """Since the prompt was begun."""


@dataclass(frozen=True)
class TextEvent:
    """A token was sampled. Its text may be empty while a character, or a possible stop string, is incomplete."""

    token: int | None
    """None for text that was held back until the end."""
    text: str
    probabilities: TokenProbabilities | None = None
    """Where the request asks for them."""
    timings: Timings | None = None
    """Until now, where the request asks for them."""


@dataclass(frozen=True)
class DoneEvent:
    """Generation is over."""

    reason: Reason
    """eos: an end-of-generation token; stop: a stop string; length: enough tokens; context: no room for more."""
    stop_string: str | None
    timings: Timings
    is_truncated: bool = False
    """Whether the context was full, and so tokens were forgotten or the text cut."""


Event = PromptEvent | TextEvent | DoneEvent


@dataclass(frozen=True)
class StartEvent:
    """A request got its slot, and its prompt is about to be evaluated."""

    slot: int
    n_prompt: int
    n_cached: int
    """Prompt tokens found in the cache."""


@dataclass(frozen=True)
class FailedEvent:
    """A request came to nothing; no event follows."""

    error: PyggmlError


TaskEvent = StartEvent | Event | FailedEvent
"""What the scheduler tells of a request: StartEvent, events as of any generation, DoneEvent or FailedEvent at last."""
