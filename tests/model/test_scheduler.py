"""The scheduler: requests that run together, alone, one after the other, and are given up."""

from dataclasses import replace
from pathlib import Path
from threading import Event as Flag

import pytest

import pyggml
from pyggml.engine import (
    DoneEvent,
    FailedEvent,
    GenerationRequest,
    Scheduler,
    SchedulerOptions,
    StartEvent,
    TaskEvent,
    TextEvent,
)
from pyggml.errors import (
    ContextError,
    PromptTooLongError,
    QueueFullError,
    SessionFileError,
    StoppedError,
    UsageError,
)
from pyggml.model import Model

STORY = "Ravi was a curious boy who lived near the lighthouse. The sky was gray and quiet."

ENDLESS = pyggml.SamplingOptions(seed=1, ignore_eos=True)


def request_for(model: Model, prompt: str, max_tokens: int = 12, *, seed: int = 1) -> GenerationRequest:
    return GenerationRequest(
        tokens=tuple(model.tokenize(prompt)),
        sampling=pyggml.SamplingOptions(seed=seed, n_probs=3),
        generation=pyggml.GenerationOptions(max_tokens=max_tokens),
    )


def answer_of(events: list[TaskEvent]) -> list[object]:
    """What must not depend on anything else: tokens, texts, probabilities bit for bit, the reason."""
    done = events[-1]
    assert isinstance(done, DoneEvent)
    return [event for event in events if isinstance(event, TextEvent)] + [done.reason]


def n_cached(events: list[TaskEvent]) -> int:
    start = events[0]
    assert isinstance(start, StartEvent)
    return start.n_cached


class Recorder:
    """Keeps events; tells when the last one came."""

    def __init__(self) -> None:
        self.events: list[TaskEvent] = []
        self.has_begun = Flag()
        self.is_over = Flag()

    def __call__(self, event: TaskEvent) -> None:
        self.events.append(event)
        self.has_begun.set()
        if not isinstance(event, StartEvent | TextEvent | pyggml.PromptEvent):
            self.is_over.set()


def together(scheduler: Scheduler, requests: list[GenerationRequest]) -> list[list[TaskEvent]]:
    recorders = [Recorder() for _ in requests]
    for request, recorder in zip(requests, recorders, strict=True):
        scheduler.submit(request, recorder)
    assert all(recorder.is_over.wait(60) for recorder in recorders)
    return [recorder.events for recorder in recorders]


def test_answers_do_not_depend_on_what_runs_beside(model: Model, scheduler: Scheduler) -> None:
    prompts = ["Hello", STORY, STORY * 3, "The fox", STORY + " The fox", "Mira", STORY * 2]
    requests = [request_for(model, prompt, 10 + i, seed=i) for i, prompt in enumerate(prompts)]
    all_at_once = together(scheduler, requests)
    alone = []
    for request in requests:
        scheduler.forget_all()
        alone.append(list(scheduler.generate(request)))
    assert [answer_of(events) for events in all_at_once] == [answer_of(events) for events in alone]


def test_a_common_beginning_is_computed_once_even_at_the_same_time(model: Model, scheduler: Scheduler) -> None:
    n = len(model.tokenize(STORY * 3))
    first, second = together(scheduler, [request_for(model, STORY * 3), request_for(model, STORY * 3, seed=2)])
    assert [n_cached(first), n_cached(second)] == [0, n - 1]


def test_a_second_turn_computes_what_is_new(model: Model, scheduler: Scheduler) -> None:
    first = request_for(model, STORY)
    events = list(scheduler.generate(first))
    answer = [event.token for event in events if isinstance(event, TextEvent) and event.token is not None]
    more = model.tokenize(" And then", add_special=False)
    second = GenerationRequest(tokens=(*first.tokens, *answer, *more))
    # The last token of the answer was never evaluated.
    assert n_cached(list(scheduler.generate(second))) == len(first.tokens) + len(answer) - 1


def test_cancelling_frees_the_slot(model: Model, scheduler: Scheduler) -> None:
    events = scheduler.generate(request_for(model, STORY, -1))
    for event in events:
        if isinstance(event, TextEvent):
            break
    events.close()  # type: ignore[attr-defined]  # it is a generator
    scheduler.call(lambda: None).result()
    list(scheduler.generate(request_for(model, "Hello", 2)))
    assert all(slot.request is None for slot in scheduler.slots())


def test_what_cannot_be_is_refused(model: Model, scheduler: Scheduler) -> None:
    with pytest.raises(ContextError, match="the prompt is empty"):
        scheduler.submit(GenerationRequest(tokens=()), lambda _: None)
    with pytest.raises(ContextError, match="256 tokens, and the context holds 256"):
        scheduler.submit(GenerationRequest(tokens=(1,) * 256), lambda _: None)
    with pytest.raises(UsageError, match="token 9999999 is not in the vocabulary"):
        scheduler.submit(GenerationRequest(tokens=(9999999,)), lambda _: None)
    with pytest.raises(UsageError, match="slot 4 does not exist; allowed are 0 to 3"):
        scheduler.submit(GenerationRequest(tokens=(1,), slot=4), lambda _: None)


def test_a_full_queue_and_a_stopped_scheduler_refuse(model: Model) -> None:
    scheduler = Scheduler(model.engine, model.tokenizer, SchedulerOptions(n_slots=1, n_queue=1))
    request, recorder = request_for(model, "Hello"), Recorder()
    scheduler.submit(request, recorder)
    with pytest.raises(QueueFullError, match="1 requests are waiting, as many as may"):
        scheduler.submit(request, lambda _: None)
    scheduler.start()
    scheduler.stop(0)
    assert recorder.is_over.wait(10)
    with pytest.raises(StoppedError, match="shutting down"):
        scheduler.submit(request, lambda _: None)
    scheduler.forget_all()


def test_stopping_cuts_off_what_takes_too_long(model: Model) -> None:
    scheduler = Scheduler(model.engine, model.tokenizer, SchedulerOptions(n_slots=4))
    scheduler.start()
    recorder = Recorder()
    scheduler.submit(replace(request_for(model, "Hello", -1), sampling=ENDLESS), recorder)
    assert recorder.has_begun.wait(10)
    assert not scheduler.stop(0)
    last = recorder.events[-1]
    assert isinstance(last, FailedEvent)
    assert "shut down before the answer was finished" in str(last.error)
    scheduler.forget_all()


def test_stopping_waits_for_what_runs(model: Model) -> None:
    scheduler = Scheduler(model.engine, model.tokenizer, SchedulerOptions(n_slots=4))
    scheduler.start()
    recorder = Recorder()
    scheduler.submit(request_for(model, "Hello", 40), recorder)
    assert recorder.has_begun.wait(10)
    assert scheduler.stop(60)
    assert isinstance(recorder.events[-1], DoneEvent)
    scheduler.forget_all()


def test_pages_run_out_and_nobody_notices(model: Model, scheduler: Scheduler) -> None:
    hold = model.engine.new_sequence()
    hold.reserve(64 * 11)  # five pages are left, for four requests of two or three each
    try:
        requests = [request_for(model, f"{name} {STORY}", 120, seed=i) for i, name in enumerate("ABCD")]
        tight = together(scheduler, requests)
        assert scheduler.counters.n_pauses
    finally:
        hold.truncate(0)
    alone = []
    for request in requests:
        scheduler.forget_all()
        alone.append(list(scheduler.generate(request)))
    assert [answer_of(events) for events in tight] == [answer_of(events) for events in alone]


def test_slots_are_saved_restored_and_erased(model: Model, scheduler: Scheduler, tmp_path: Path) -> None:
    request = replace(request_for(model, STORY), slot=1)
    first = list(scheduler.generate(request))
    n_kept = len(request.tokens) + 12 - 1
    path = tmp_path / "slot.bin"
    n_saved, n_written = scheduler.save_slot(1, path, model.fingerprint).result(10)
    assert (n_saved, n_written) == (n_kept, path.stat().st_size)
    assert scheduler.save_slot(2, tmp_path / "empty.bin", model.fingerprint).result(10)[0] == 0
    assert scheduler.erase_slot(1).result(10) == n_kept
    assert scheduler.erase_slot(1).result(10) == 0
    assert n_cached(list(scheduler.generate(replace(request, reuse=True)))) == 0
    scheduler.forget_all()
    assert scheduler.restore_slot(2, path, model.fingerprint).result(10) == (n_saved, n_written)
    again = list(scheduler.generate(request))
    assert n_cached(again) == len(request.tokens) - 1
    assert answer_of(again) == answer_of(first)


def test_a_busy_slot_is_saved_when_it_is_idle(model: Model, scheduler: Scheduler, tmp_path: Path) -> None:
    recorder = Recorder()
    scheduler.submit(replace(request_for(model, "Hello", 40), slot=0, sampling=ENDLESS), recorder)
    assert recorder.has_begun.wait(10)
    n_saved, _ = scheduler.save_slot(0, tmp_path / "slot.bin", model.fingerprint).result(60)
    assert recorder.is_over.is_set()
    assert n_saved == len(model.tokenize("Hello")) + 40 - 1


def test_slots_that_cannot_be_restored(model: Model, scheduler: Scheduler, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="slot 4 does not exist"):
        scheduler.save_slot(4, tmp_path / "slot.bin", model.fingerprint)
    with pytest.raises(SessionFileError, match="cannot be read"):
        scheduler.restore_slot(0, tmp_path / "none.bin", model.fingerprint).result(10)
    scheduler.save_slot(0, tmp_path / "slot.bin", "another model").result(10)
    with pytest.raises(SessionFileError, match="saved with another model"):
        scheduler.restore_slot(0, tmp_path / "slot.bin", model.fingerprint).result(10)


def test_a_prompt_that_is_too_long_says_by_how_much(scheduler: Scheduler) -> None:
    with pytest.raises(PromptTooLongError, match="300 tokens, and the context holds 256") as caught:
        scheduler.submit(GenerationRequest(tokens=(1,) * 300), lambda _: None)
    assert (caught.value.n_tokens, caught.value.n_ctx) == (300, 256)


def test_contexts_that_make_room_come_back_from_memory(model: Model) -> None:
    """The cache holds two of three conversations, memory all of them; none is computed twice, and none changes."""
    scheduler = Scheduler(model.engine, model.tokenizer, SchedulerOptions(n_slots=2, max_spilled=1 << 24))
    scheduler.start()
    hold = model.engine.new_sequence()
    hold.reserve(64 * 10)  # six pages are left, of which each conversation takes two or three
    try:
        requests = [
            request_for(model, f"{name} {STORY * 4}", 8, seed=i) for i, name in enumerate(("Mira", "Tom", "Anna"))
        ]
        first = [list(scheduler.generate(request)) for request in requests]
        second = [list(scheduler.generate(request)) for request in requests]
        assert [answer_of(events) for events in second] == [answer_of(events) for events in first]
        assert [n_cached(events) for events in second] == [len(request.tokens) - 1 for request in requests]
    finally:
        hold.truncate(0)
        scheduler.stop(0)
        scheduler.forget_all()
    assert model.engine.pool.n_free == 1024 // 64
