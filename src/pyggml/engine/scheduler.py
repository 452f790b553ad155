"""Many requests on one device: the thread that owns the engine, and what it does between two steps.

Requests wait in a queue until a slot is free. All that have one share each step (Yu et al., 2022, "Orca"): a token for
each that is generating, then prompt tokens. A request's tokens do not depend on what runs beside it, so that one whose
pages are needed by an earlier one can be stopped and computed again.
"""

import logging
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from itertools import count
from queue import SimpleQueue
from threading import Condition, Thread
from time import monotonic
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from pyggml.engine.batching import share_step
from pyggml.engine.contexts import ContextStore
from pyggml.engine.counters import Counters
from pyggml.engine.engine import Engine, Part
from pyggml.engine.events import DoneEvent, FailedEvent, StartEvent, TaskEvent
from pyggml.engine.placing import Placing
from pyggml.engine.run import Run
from pyggml.engine.slots import Slot, SlotState
from pyggml.engine.task import GenerationRequest, Listener, Task
from pyggml.errors import ContextError, PyggmlError, QueueFullError, StoppedError, UsageError
from pyggml.sampling import Sampler
from pyggml.tokenizer import Tokenizer

_logger = logging.getLogger(__name__)
Result = TypeVar("Result")


@dataclass(frozen=True)
class SchedulerOptions:
    """How much is taken on at a time."""

    n_slots: int = 4
    """Requests that run together; the engine's backend must take as many sequences in a step."""
    n_queue: int = 256
    """Requests that may wait for a slot."""


class Scheduler:
    """The only one to call `Engine.step` from `start` to `stop`. Its methods may be called from any thread."""

    def __init__(self, engine: Engine, tokenizer: Tokenizer, options: SchedulerOptions) -> None:
        self.counters = Counters()
        self._engine = engine
        self._tokenizer = tokenizer
        self._options = options
        self._slots = [Slot(index) for index in range(options.n_slots)]
        self._store = ContextStore()
        self._placing = Placing(engine.pool, self._store)
        self._runs: list[Run] = []  # in slots, in the order in which they started
        self._paused: set[Run] = set()
        self._queue: deque[Task] = deque()
        self._calls: deque[Callable[[], None]] = deque()
        self._changed = Condition()
        self._deadline: float | None = None  # set when stopping
        self._n_cut_off = 0
        self._ids = count()
        self._thread = Thread(target=self._work, name="pyggml-device", daemon=True)

    def start(self) -> None:
        """Begin to work."""
        self._thread.start()

    def submit(self, request: GenerationRequest, listener: Listener) -> Task:
        """Take on a request; its events go to the listener, from the scheduler's thread.

        Raises ContextError for a prompt that does not fit, UsageError for tokens or a slot that do not exist,
        SamplingError for a sampler that cannot be, QueueFullError and StoppedError.
        """
        self._check(request)
        with self._changed:
            if self._deadline is not None:
                raise StoppedError("the server is shutting down and takes no more requests")
            if len(self._queue) >= self._options.n_queue:
                raise QueueFullError(
                    f"{len(self._queue)} requests are waiting, as many as may; try again later, or allow more"
                )
            task = Task(next(self._ids), request, listener, self._wake)
            self._queue.append(task)
            self._changed.notify()
        return task

    def generate(self, request: GenerationRequest) -> Iterator[TaskEvent]:
        """Submit a request and give its events; leaving the iterator early cancels it. FailedEvent is raised."""
        events: SimpleQueue[TaskEvent] = SimpleQueue()
        task = self.submit(request, events.put)
        try:
            while True:
                event = events.get()
                if isinstance(event, FailedEvent):
                    raise event.error
                yield event
                if isinstance(event, DoneEvent):
                    return
        finally:
            task.cancel()

    def call(self, function: Callable[[], Result]) -> "Future[Result]":
        """Have a function called on the scheduler's thread, between two steps: it may use the device."""
        future: Future[Result] = Future()

        def work() -> None:
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(function())
                except Exception as error:  # noqa: BLE001  # it goes to whoever waits for the result
                    future.set_exception(error)

        with self._changed:
            if self._deadline is not None:
                raise StoppedError("the server is shutting down and takes no more requests")
            self._calls.append(work)
            self._changed.notify()
        return future

    def forget_all(self) -> None:
        """Give up all idle contexts; what later prompts share with them is computed again."""
        if self._thread.is_alive():
            self.call(self._store.clear).result()
        else:
            self._store.clear()

    def slots(self) -> list[SlotState]:
        """All slots as they are now."""
        return [slot.state() for slot in self._slots]

    @property
    def n_waiting(self) -> int:
        """Requests without a slot."""
        return len(self._queue)

    def stop(self, seconds: float) -> bool:
        """Take on nothing more, fail what waits, and give running requests so long; False if some were cut off."""
        with self._changed:
            self._deadline = monotonic() + seconds
            self._changed.notify()
        self._thread.join()
        return not self._n_cut_off

    def _check(self, request: GenerationRequest) -> None:
        n, n_vocab = len(request.tokens), self._engine.config.n_vocab
        if not n:
            raise ContextError("the prompt is empty: at least one token is needed to continue from")
        if n >= self._engine.n_ctx:
            raise ContextError(
                f"the prompt is too long: {n} tokens, and the context holds {self._engine.n_ctx} with at least one for"
                " the answer; shorten the prompt or choose a larger context with -c"
            )
        if bad := [token for token in request.tokens if not 0 <= token < n_vocab]:
            raise UsageError(f"token {bad[0]} is not in the vocabulary of {n_vocab}")
        if request.slot is not None and not 0 <= request.slot < len(self._slots):
            raise UsageError(f"slot {request.slot} does not exist; allowed are 0 to {len(self._slots) - 1}")
        Sampler(request.sampling, self._tokenizer)

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify()

    def _work(self) -> None:
        """The thread: one round after the other until it is stopped and nothing runs."""
        while self._wait():
            self._make_calls()
            self._drop_cancelled()
            self._admit()
            if self._runs:
                self._step()
        self._n_cut_off = len(self._runs)
        for run in list(self._runs):
            self._fail([run.task], StoppedError("the server was shut down before the answer was finished"))
            self._leave(run)
        self._make_calls()

    def _make_calls(self) -> None:
        while self._calls:
            self._calls.popleft()()

    def _wait(self) -> bool:
        """Wait for something to do; False once it is time to end."""
        with self._changed:
            while not (self._runs or self._queue or self._calls or self._deadline is not None):
                self._changed.wait()
            if self._deadline is None:
                return True
            waiting = list(self._queue)
            self._queue.clear()
        self._fail(waiting, StoppedError("the server is shutting down; the request had not started"))
        return bool(self._runs or self._calls) and monotonic() < self._deadline

    def _fail(self, tasks: Sequence[Task], error: PyggmlError) -> None:
        for task in tasks:
            if not task.is_cancelled:
                task.tell(FailedEvent(error))

    def _drop_cancelled(self) -> None:
        for run in [run for run in self._runs if run.task.is_cancelled]:
            self._leave(run)

    def _admit(self) -> None:
        """Give free slots to the requests that wait longest."""
        with self._changed:
            tasks = [task for task in self._queue if not task.is_cancelled]
            self._queue.clear()
            for task in tasks:
                free = [slot for slot in self._slots if not slot.run and task.request.slot in (None, slot.id)]
                if not free:
                    self._queue.append(task)
                    continue
                slot = min(free, key=lambda each: each.last_task)
                slot.run = Run(task, slot.id, self._tokenizer)
                slot.last_task = task.id
                self._runs.append(slot.run)

    def _place(self) -> None:
        """Find contexts for the runs that have none."""
        for index, run in enumerate(self._runs):
            if run.context or run in self._paused or not self._placing.place(run, self._runs[:index]):
                continue
            if not run.n_generated:
                run.task.tell(StartEvent(run.slot, run.n_prompt, run.n_cached))

    def _step(self) -> None:
        """One step of the engine, and what follows from it."""
        try:
            self._place()
            shares = self._secure()
            parts = [
                Part(run.context.sequence, run.n_evaluated, run.tokens[run.n_evaluated :][:n], [n - 1])
                for run, n in shares
                if run.context
            ]
            logits = self._engine.step(parts)
            self.counters.n_steps += 1
            self.counters.n_parts += len(parts)
            for (run, n), row in zip(shares, logits, strict=True):
                self._advance(run, n, row)
        except Exception as error:
            _logger.exception("a step failed; the requests that took part are given up")
            self._give_up(error)

    def _secure(self) -> list[tuple[Run, int]]:
        """The runs of the next step with their numbers of tokens, and pages for all of them."""
        while True:
            ready = [run for run in self._runs if run.context]
            shares = [(ready[index], n) for index, n in share_step(ready, self._engine.n_batch)]
            needed = sum(
                run.context.sequence.n_needed(run.n_evaluated, run.n_evaluated + n) for run, n in shares if run.context
            )
            if self._engine.pool.n_free >= needed:
                return shares
            if len(self._store):
                self._store.discard_oldest()
            elif len(ready) > 1:
                self._pause(ready[-1])
            else:
                raise ContextError("the key/value cache is full, and nothing in it can be given up")

    def _pause(self, run: Run) -> None:
        """Take a run's pages away until another one is over; its tokens will be computed again."""
        if run.context:
            run.context.truncate(0)
        run.context = None
        self._paused.add(run)
        self.counters.n_pauses += 1

    def _advance(self, run: Run, n_tokens: int, logits: npt.NDArray[np.float32]) -> None:
        try:
            for event in run.take_step(n_tokens, logits):
                run.task.tell(event)
        except PyggmlError as error:
            self._fail([run.task], error)
            self._leave(run)
            return
        self.counters.n_tokens_max = max(self.counters.n_tokens_max, run.n_evaluated)
        if run.reason is None and run.n_evaluated >= self._engine.n_ctx:
            self._forget(run)
        if run.reason is not None:
            for event in run.finish():
                run.task.tell(event)
            self.counters.add(run.timings())
            self._leave(run)

    def _forget(self, run: Run) -> None:
        """Make place in a full context, or end the answer."""
        context, options = run.context, run.task.request.generation
        forgotten = options.discarded(run.n_evaluated, run.n_prompt, add_bos=self._tokenizer.add_bos)
        run.is_truncated = True
        if not forgotten or context is None:
            run.reason = "context"
            return
        self._engine.discard(context.sequence, forgotten.start, len(forgotten), len(context.tokens))
        context.n_pure = min(forgotten.start, len(context.tokens) if context.n_pure is None else context.n_pure)
        del context.tokens[forgotten.start : forgotten.stop]
        del run.tokens[forgotten.start : forgotten.stop]

    def _leave(self, run: Run) -> None:
        """Free a run's slot, and keep its context for later prompts."""
        slot = self._slots[run.slot]
        slot.run, slot.last = None, run.context
        if run.context:
            self._store.put(run.context)
        self._runs.remove(run)
        self._paused.clear()

    def _give_up(self, error: Exception) -> None:
        """Fail all runs, whose contexts are in doubt."""
        known = error if isinstance(error, PyggmlError) else PyggmlError(f"the engine failed: {error}")
        for run in list(self._runs):
            self._fail([run.task], known)
            if run.context:
                run.context.truncate(0)
            self._leave(run)
