"""Slots: as many requests run at a time as there are of them."""

from dataclasses import dataclass, replace

from pyggml.engine.contexts import Context
from pyggml.engine.events import Timings
from pyggml.engine.run import Run
from pyggml.engine.task import GenerationRequest


@dataclass(eq=False)
class Slot:
    """A place for a request, and the context that the last one left."""

    id: int
    run: Run | None = None
    last: Context | None = None
    last_task: int = -1
    last_run: Run | None = None

    def state(self) -> "SlotState":
        """What can be told of it; any thread may ask."""
        run, last = self.run, self.last_run
        if run is not None:
            return SlotState(
                self.id, run.task.id, run.n_evaluated, run.task.request, run.n_prompt, run.timings(), run.has_new_line
            )
        state = SlotState(self.id, self.last_task, len(self.last.tokens) if self.last else 0)
        if last is None:
            return state
        return replace(state, previous=last.task.request, timings=last.timings(), has_new_line=last.has_new_line)

    def free(self) -> None:
        """The run is over; its context stays known as this slot's."""
        self.last_run, self.run = self.run, None
        self.last = self.last_run.context if self.last_run else None


@dataclass(frozen=True)
class SlotState:
    """A slot at one moment."""

    id: int
    task: int
    """The number of the request that runs, or ran last; -1 if there was none."""
    n_evaluated: int
    """Tokens of the context that the slot has, or had, in the cache."""
    request: GenerationRequest | None = None
    """None if the slot is idle."""
    n_prompt: int = 0
    timings: Timings | None = None
    """Of the request that runs, or ran last."""
    has_new_line: bool = False
    previous: GenerationRequest | None = None
    """The request that ran last, if the slot is idle."""
