"""What is asked of the scheduler, and the handle on it."""

from collections.abc import Callable
from dataclasses import dataclass, field

from pyggml.engine.constraint import Constraint
from pyggml.engine.events import TaskEvent
from pyggml.engine.options import GenerationOptions
from pyggml.engine.pictures import NO_PICTURES, PlacedPictures
from pyggml.sampling import SamplingOptions

Listener = Callable[[TaskEvent], None]
"""Called with each event, on the scheduler's thread: it must return at once."""


@dataclass(frozen=True, kw_only=True)
class GenerationRequest:
    """An answer to be generated.

    `sampling.n_probs` asks for the probabilities of so many tokens with each token of the answer.
    """

    tokens: tuple[int, ...]
    """The prompt, at least one token."""
    pictures: PlacedPictures = NO_PICTURES
    """Those of the prompt."""
    sampling: SamplingOptions = field(default_factory=SamplingOptions)
    generation: GenerationOptions = field(default_factory=GenerationOptions)
    constraint: Constraint | None = None
    """A fresh one for each request."""
    post_sampling_probabilities: bool = False
    """Probabilities after the samplers, instead of before them."""
    token_timings: bool = False
    """Give the timings with each token."""
    slot: int | None = None
    """The slot to run in; None for any."""
    origin: object = None
    """Whatever its client wants to find again in the states of slots."""
    reuse: bool = True
    """Take what the prompt shares with earlier ones from the cache."""


class Task:
    """A request on its way."""

    def __init__(self, id_: int, request: GenerationRequest, listener: Listener, wake: Callable[[], None]) -> None:
        self.id = id_
        self.request = request
        self.is_cancelled = False
        self.tell = listener
        self._wake = wake

    def cancel(self) -> None:
        """Give it up: at the next step its slot is free. No event comes after that. Any thread may call this."""
        self.is_cancelled = True
        self._wake()
