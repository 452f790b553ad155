"""Vectors of texts, beside requests that generate. The numbers are compared with llama-server's in tests/e2e."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

import pyggml
from pyggml.engine import GenerationRequest, Part, Scheduler, SchedulerOptions, Vectors, normalized
from pyggml.errors import ContextError, StoppedError, UsageError
from pyggml.model import Model

STORY = "Ravi was a curious boy who lived near the lighthouse. The sky was gray and quiet."


def states_of(model: Model, tokens: list[int]) -> Vectors:
    sequence = model.engine.new_sequence()
    try:
        return np.concatenate(
            [
                model.engine.step([Part(sequence, i, [token], [0])], has_head=False).copy()
                for i, token in enumerate(tokens)
            ]
        )
    finally:
        sequence.truncate(0)


def test_poolings_are_made_of_the_same_states(model: Model, scheduler: Scheduler) -> None:
    texts = [model.tokenize(text) for text in (STORY * 3, "Hello", STORY, "The fox", "Mira")]
    states = scheduler.embed(texts, "none").result(60)
    assert [len(each) for each in states] == [len(tokens) for tokens in texts]
    np.testing.assert_array_equal(states[1], states_of(model, texts[1]))
    for pooling, rows in (("last", [each[-1:] for each in states]), ("cls", [each[:1] for each in states])):
        vectors = scheduler.embed(texts, pooling).result(60)  # type: ignore[arg-type]  # mypy sees a str
        assert all(np.array_equal(one, other) for one, other in zip(vectors, rows, strict=True))
    for vector, each in zip(scheduler.embed(texts, "mean").result(60), states, strict=True):
        np.testing.assert_allclose(vector[0], each.mean(axis=0, dtype=np.float64), rtol=1e-6)


def test_vectors_and_answers_do_not_disturb_each_other(model: Model, scheduler: Scheduler) -> None:
    texts = [model.tokenize(STORY * 2), model.tokenize("Hello")]
    request = GenerationRequest(
        tokens=tuple(model.tokenize(STORY)),
        sampling=pyggml.SamplingOptions(seed=1),
        generation=pyggml.GenerationOptions(max_tokens=60),
    )
    vectors = scheduler.embed(texts, "last").result(60)
    alone = [event.text for event in scheduler.generate(request) if isinstance(event, pyggml.TextEvent)]
    hold = model.engine.new_sequence()
    hold.reserve(64 * 4)  # four pages are left: the request has to give some of its own away
    try:
        scheduler.forget_all()
        events = scheduler.generate(request)
        first = next(events)
        future = scheduler.embed(texts * 2, "last")
        beside = [event.text for event in (first, *events) if isinstance(event, pyggml.TextEvent)]
        assert all(np.array_equal(one, other) for one, other in zip(future.result(60), vectors * 2, strict=True))
    finally:
        hold.truncate(0)
    assert beside == alone


def test_what_cannot_be_is_refused(model: Model, scheduler: Scheduler) -> None:
    with pytest.raises(ContextError, match="the prompt is empty"):
        scheduler.embed([[]], "mean")
    with pytest.raises(UsageError, match="token 9999999 is not in the vocabulary"):
        scheduler.embed([[9999999]], "mean")
    with pytest.raises(UsageError, match="embd_normalize is -2; allowed are -1"):
        normalized(np.ones((1, 2), np.float32), -2)
    hold = model.engine.new_sequence()
    hold.reserve(64 * 16)
    try:
        with pytest.raises(ContextError, match="1 pages of the key/value cache are needed"):
            scheduler.embed([[1]], "mean").result(60)
    finally:
        hold.truncate(0)


def test_giving_up_and_stopping(model: Model) -> None:
    scheduler = Scheduler(model.engine, model.tokenizer, SchedulerOptions(n_slots=1))
    given_up, cut_off = (scheduler.embed([[1] * 200] * 100, "mean") for _ in range(2))
    assert given_up.cancel()
    scheduler.start()
    assert not scheduler.stop(0)
    with pytest.raises(StoppedError, match="shut down before the answer was finished"):
        cut_off.result(10)
    assert model.engine.pool.n_free == 1024 // 64


def test_tiny_vectors_stay_finite() -> None:
    assert np.isfinite(normalized(np.full((1, 3), 1e-44, np.float32), 2)).all()


@given(
    vectors=arrays.arrays(np.float32, (2, 5), elements=st.floats(-1e6, 1e6, width=32)),
    kind=st.sampled_from([-1, 0, 1, 2, 3, 17]),
)
@settings(max_examples=100, deadline=None)
def test_norms(vectors: Vectors, kind: int) -> None:
    result = normalized(vectors, kind)
    assert result.dtype == np.float32
    for before, after in zip(vectors.astype(np.float64), result.astype(np.float64), strict=True):
        largest = np.abs(before).max()
        if kind == -1 or largest < 1e-30:
            continue
        size = np.abs(after).max() / 32760 if kind == 0 else (np.abs(after) ** kind).sum() ** (1 / kind)
        np.testing.assert_allclose(size, 1, rtol=1e-5)
