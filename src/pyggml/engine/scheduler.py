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
from pathlib import Path
from queue import SimpleQueue
from threading import Condition, Thread
from time import monotonic, perf_counter
from typing import TypeVar

import numpy as np

from pyggml.engine.batching import Pace, share_step
from pyggml.engine.checks import RequestChecks
from pyggml.engine.contexts import ContextStore
from pyggml.engine.counters import Counters
from pyggml.engine.embedding import EmbeddingJob, Pooling, Vectors
from pyggml.engine.engine import Engine, Part
from pyggml.engine.events import DoneEvent, FailedEvent, StartEvent, TaskEvent
from pyggml.engine.eviction import Eviction
from pyggml.engine.placing import Placing
from pyggml.engine.run import Run
from pyggml.engine.slot_contexts import SlotContexts
from pyggml.engine.slots import Slot, SlotState
from pyggml.engine.task import GenerationRequest, Listener, Task
from pyggml.errors import ContextError, PyggmlError, QueueFullError, StoppedError
from pyggml.sampling import Logits
from pyggml.tokenizer import Tokenizer

_logger = logging.getLogger(__name__)
_NO_LOGITS = Logits.of(np.empty(0, np.float32))
Result = TypeVar("Result")


@dataclass(frozen=True)
class SchedulerOptions:
    """How much is taken on at a time."""

    n_slots: int = 4
    """Requests that run together; the engine's backend must take as many sequences in a step."""
    n_queue: int = 256
    """Requests that may wait for a slot, and as many that may wait for vectors."""
    max_spilled: int | None = 0
    """Bytes of idle contexts kept in memory once the cache has no place for them; None: any number."""


class Scheduler:
    """The only one to call `Engine.step` from `start` to `stop`. Its methods may be called from any thread."""

    def __init__(self, engine: Engine, tokenizer: Tokenizer, options: SchedulerOptions) -> None:
        self.counters = Counters()
        self._engine = engine
        self._tokenizer = tokenizer
        self._options = options
        self._slots = [Slot(index) for index in range(options.n_slots)]
        self._checks = RequestChecks(engine, tokenizer, options.n_slots)
        self._store = ContextStore()
        self._eviction = Eviction(engine, self._store, options.max_spilled)
        self._placing = Placing(engine.pool, self._store, self._eviction)
        self._slot_contexts = SlotContexts(engine, self._slots, self._store, self._make_room)
        self._pace = Pace(engine.n_batch)
        self._runs: list[Run] = []  # in slots, in the order in which they started
        self._paused: set[Run] = set()
        self._queue: deque[Task] = deque()
        self._jobs: deque[EmbeddingJob] = deque()
        self._calls: deque[tuple[int | None, Callable[[], None]]] = deque()
        self._changed = Condition()
        self._deadline: float | None = None  # set when stopping
        self._n_cut_off = 0
        self._news: list[tuple[Task, TaskEvent]] = []
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
        self._checks.request(request)
        with self._changed:
            self._check_open(len(self._queue))
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

    def embed(self, texts: Sequence[Sequence[int]], pooling: Pooling) -> "Future[list[Vectors]]":
        """Have the vectors of texts computed, each (n_vectors, n_embd), between the steps of other requests.

        Cancelling the future gives them up. Raises as `submit` does.
        """
        for tokens in texts:
            self._checks.tokens(tokens)
        with self._changed:
            self._check_open(len(self._jobs))
            job = EmbeddingJob(self._engine, texts, pooling, len(self._slots))
            self._jobs.append(job)
            self._changed.notify()
        return job.future

    def save_slot(self, slot: int, path: Path, fingerprint: str) -> "Future[tuple[int, int]]":
        """Have what a slot keeps of its last request written to a file, once it is idle: its tokens, and the bytes.

        Raises UsageError for a slot that does not exist; the future, SessionFileError.
        """
        return self.call(lambda: self._slot_contexts.save(slot, path, fingerprint), slot)

    def restore_slot(self, slot: int, path: Path, fingerprint: str) -> "Future[tuple[int, int]]":
        """Have a slot take over what `save_slot` wrote. Raises as that does."""
        return self.call(lambda: self._slot_contexts.restore(slot, path, fingerprint), slot)

    def erase_slot(self, slot: int) -> "Future[int]":
        """Have a slot forget what it keeps, once it is idle: how many tokens. Raises as `save_slot` does."""
        return self.call(lambda: self._slot_contexts.erase(slot), slot)

    def call(self, function: Callable[[], Result], slot: int | None = None) -> "Future[Result]":
        """Have a function called on the scheduler's thread, between two steps: it may use the device.

        If it is about a slot, it is called when that is idle.
        """
        self._checks.slot(slot)
        future: Future[Result] = Future()

        def work() -> None:
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(function())
                except Exception as error:  # noqa: BLE001  # it goes to whoever waits for the result
                    future.set_exception(error)

        with self._changed:
            self._check_open(0)
            self._calls.append((slot, work))
            self._changed.notify()
        return future

    def forget_all(self) -> None:
        """Give up all idle contexts; what later prompts share with them is computed again."""
        if self._thread.is_alive():
            self.call(self._eviction.clear).result()
        else:
            self._eviction.clear()

    def slots(self) -> list[SlotState]:
        """All slots as they are now."""
        return [slot.state() for slot in self._slots]

    @property
    def n_slots(self) -> int:
        """Requests that run together."""
        return len(self._slots)

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

    def _check_open(self, n_waiting: int) -> None:
        if self._deadline is not None:
            raise StoppedError("the server is shutting down and takes no more requests")
        if n_waiting >= self._options.n_queue:
            raise QueueFullError(f"{n_waiting} requests are waiting, as many as may; try again later, or allow more")

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify()

    def _work(self) -> None:
        """The thread: one round after the other until it is stopped and nothing runs."""
        while self._wait():
            self._make_calls()
            self._drop_cancelled()
            self._admit()
            self._advance_job()
            if self._runs:
                self._step()
        self._n_cut_off = len(self._runs) + len(self._jobs)
        error = StoppedError("the server was shut down before the answer was finished")
        for run in list(self._runs):
            self._fail([run.task], error)
            self._leave(run)
        while self._jobs:
            self._jobs.popleft().fail(error)
        self._make_calls()
        self._tell()

    def _tell(self) -> None:
        """Pass on what happened: all of a step at once, and shortly before the next, while which nothing else needs
        Python. Told one by one, events would wake their listeners' threads while the other tokens are being chosen."""
        news, self._news = self._news, []
        for task, event in news:
            if not task.is_cancelled:
                task.tell(event)

    def _make_calls(self) -> None:
        """Make the calls that need not wait for a slot any more."""
        for _ in range(len(self._calls)):
            slot, work = self._calls.popleft()
            if slot is not None and self._slots[slot].run:
                self._calls.append((slot, work))
            else:
                work()
                self._paused.clear()

    def _advance_job(self) -> None:
        """A step for the vectors of texts, if any are wanted."""
        if self._jobs and self._jobs[0].advance(self._make_room):
            self._jobs.popleft()
            self._paused.clear()

    def _wait(self) -> bool:
        """Wait for something to do; False once it is time to end."""
        self._tell()
        with self._changed:
            while not (self._is_busy or self._queue or self._deadline is not None):
                self._changed.wait()
            if self._deadline is None:
                return True
            waiting = list(self._queue)
            self._queue.clear()
        self._fail(waiting, StoppedError("the server is shutting down; the request had not started"))
        return self._is_busy and monotonic() < self._deadline

    @property
    def _is_busy(self) -> bool:
        return bool(self._runs or self._jobs or self._calls)

    def _fail(self, tasks: Sequence[Task], error: PyggmlError) -> None:
        self._news += [(task, FailedEvent(error)) for task in tasks]

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
                self._news.append((run.task, StartEvent(run.slot, run.n_prompt, run.n_cached)))

    def _step(self) -> None:
        """One step of the engine, and what follows from it."""
        try:
            self._place()
            shares = self._secure()
            parts = [
                Part(
                    run.context.sequence,
                    run.n_evaluated,
                    run.next_tokens(n),
                    [n - 1] if n == run.n_pending else [],
                    run.task.request.pictures,
                )
                for run, n in shares
                if run.context
            ]
            if not parts:
                return
            self._tell()
            began = perf_counter()
            largest_first = any(run.begins_with_the_largest for run, n in shares if n == run.n_pending)
            logits = iter(self._engine.logits(parts, largest_first=largest_first))
            self._pace.note(sum(n for _, n in shares), perf_counter() - began)
            self.counters.n_steps += 1
            self.counters.n_parts += len(parts)
            for (run, n), part in zip(shares, parts, strict=True):
                self._advance(run, n, next(logits) if part.outputs else _NO_LOGITS)
        except Exception as error:
            _logger.exception("a step failed; the requests that took part are given up")
            self._give_up(error)

    def _secure(self) -> list[tuple[Run, int]]:
        """The runs of the next step with their numbers of tokens, and pages for all of them."""
        while True:
            ready = [run for run in self._runs if run.context]
            shares = [(ready[index], n) for index, n in share_step(ready, self._engine.n_batch, self._pace.n_prompt)]
            needed = sum(
                run.context.sequence.n_needed(run.n_evaluated, run.n_evaluated + n) for run, n in shares if run.context
            )
            if self._eviction.free(needed):
                return shares
            if len(ready) <= 1:
                raise ContextError("the key/value cache is full, and nothing in it can be given up")
            self._pause(ready[-1])

    def _make_room(self, n_pages: int) -> None:
        """Free so many pages; requests whose pages that takes go on later. Raises ContextError."""

        def pause_last() -> bool:
            ready = [run for run in self._runs if run.context]
            if ready:
                self._pause(ready[-1])
            return bool(ready)

        self._eviction.make_room(n_pages, pause_last)

    def _pause(self, run: Run) -> None:
        """Take a run's pages away until another one is over; its tokens will be computed again."""
        if run.context:
            run.context.truncate(0)
        run.context = None
        self._paused.add(run)
        self.counters.n_pauses += 1

    def _advance(self, run: Run, n_tokens: int, logits: Logits) -> None:
        try:
            self._news += [(run.task, event) for event in run.take_step(n_tokens, logits)]
        except PyggmlError as error:
            self._fail([run.task], error)
            self._leave(run)
            return
        self.counters.n_tokens_max = max(self.counters.n_tokens_max, run.n_evaluated)
        if run.reason is None and run.n_evaluated >= self._engine.n_ctx:
            self._forget(run)
        if run.reason is not None:
            self._news += [(run.task, event) for event in run.finish()]
            self.counters.add(run.timings())
            self._leave(run)

    def _forget(self, run: Run) -> None:
        """Make place in a full context, or end the answer."""
        context, options = run.context, run.task.request.generation
        forgotten = options.discarded(run.n_evaluated, run.n_prompt, add_bos=self._tokenizer.add_bos)
        run.is_truncated = True
        if not forgotten or context is None or not self._engine.can_shift:
            run.reason = "context"
            return
        self._engine.discard(context.sequence, forgotten.start, len(forgotten), len(context.tokens))
        context.n_pure = min(forgotten.start, len(context.tokens) if context.n_pure is None else context.n_pure)
        del context.tokens[forgotten.start : forgotten.stop]
        del run.tokens[forgotten.start : forgotten.stop]

    def _leave(self, run: Run) -> None:
        """Free a run's slot, and keep its context for later prompts."""
        self._slots[run.slot].free()
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
