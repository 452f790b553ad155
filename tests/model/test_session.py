"""Sessions: reuse of what is cached, a full context, stop strings, saving, and leaving in the middle."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

import pyggml
from pyggml.engine import Part, Session
from pyggml.engine.events import Event
from pyggml.errors import ContextError, SessionFileError, UsageError
from pyggml.model import Model
from pyggml.sampling import Logits
from pyggml_reference.random_model import RandomModel, random_model


class Greedy:
    """The most probable token, always; remembers what it was told."""

    def __init__(self) -> None:
        self.accepted: list[int] = []

    begins_with_the_largest = False

    def choose(self, logits: Logits) -> int:
        return int(logits.fetch().argmax())

    def accept(self, token: int) -> None:
        self.accepted.append(token)

    def reset(self) -> None:
        self.accepted = []


class Always(Greedy):
    """One token, always."""

    def __init__(self, token: int) -> None:
        super().__init__()
        self.token = token

    def choose(self, logits: Logits) -> int:
        return self.token


@pytest.fixture(scope="module")
def model() -> Model:
    return pyggml.load(pyggml.demo_model(), n_ctx=256, n_ubatch=32)


@pytest.fixture
def session(model: Model) -> Iterator[Session]:
    session = model.session()
    yield session
    session.clear()


def done(events: list[Event]) -> pyggml.DoneEvent:
    assert isinstance(events[-1], pyggml.DoneEvent)
    return events[-1]


def text(events: list[Event]) -> str:
    return "".join(event.text for event in events if isinstance(event, pyggml.TextEvent))


def tokens_of(events: list[Event]) -> list[int]:
    return [event.token for event in events if isinstance(event, pyggml.TextEvent) and event.token is not None]


STORY = "Ravi was a curious boy who lived near the lighthouse. The sky was gray and quiet."


def test_events_of_a_generation(model: Model, session: Session) -> None:
    prompt = model.tokenize(STORY * 3)
    sampler = Greedy()
    events = list(session.generate(prompt, sampler, pyggml.GenerationOptions(max_tokens=5)))
    progress = [event.n_done for event in events if isinstance(event, pyggml.PromptEvent)]
    assert progress == [*range(32, len(prompt), 32), len(prompt)]
    assert len(tokens_of(events)) == 5
    assert sampler.accepted == prompt + tokens_of(events)
    end = done(events)
    assert end.reason == "length"
    assert (end.timings.n_cached, end.timings.n_prompt, end.timings.n_generated) == (0, len(prompt), 5)
    assert session.tokens == prompt + tokens_of(events)[:-1]


def test_a_shared_beginning_is_not_evaluated_again(model: Model, session: Session) -> None:
    prompt = model.tokenize(STORY)
    options = pyggml.GenerationOptions(max_tokens=8)
    first = list(session.generate(prompt, Greedy(), options))
    again = list(session.generate(prompt, Greedy(), options))
    assert done(again).timings.n_cached == len(prompt) - 1
    assert tokens_of(again) == tokens_of(first)
    other = [*prompt[:10], *model.tokenize("The fox", add_special=False)]
    mixed = list(session.generate(other, Greedy(), options))
    assert done(mixed).timings.n_cached == 10
    session.clear()
    assert tokens_of(list(session.generate(other, Greedy(), options))) == tokens_of(mixed)


def test_nothing_is_asked_for(model: Model, session: Session) -> None:
    events = list(session.generate(model.tokenize("Hello"), Greedy(), pyggml.GenerationOptions(max_tokens=0)))
    assert done(events).reason == "length"
    assert not tokens_of(events)


def test_the_end_of_an_answer(model: Model) -> None:
    sampling = pyggml.SamplingOptions(temperature=0.0)
    events = list(model.chat([{"role": "user", "content": "What is 37 + 48?"}], sampling=sampling))
    assert text(events) == "37 + 48 = 85"
    assert done(events).reason == "eos"


@pytest.mark.parametrize(
    ("stop", "expected"), [(("= 8",), "37 + 48 "), (("48 = 8", "+"), "37 "), (("85!",), "37 + 48 = 85")]
)
def test_stop_strings(model: Model, stop: tuple[str, ...], expected: str) -> None:
    sampling = pyggml.SamplingOptions(temperature=0.0)
    events = list(model.chat([{"role": "user", "content": "What is 37 + 48?"}], sampling=sampling, stop=stop))
    assert text(events) == expected
    found = done(events).stop_string
    assert (done(events).reason == "stop") == (found is not None)
    assert found is None or found in stop


def test_a_full_context_ends_the_text(model: Model, session: Session) -> None:
    prompt = model.tokenize("Hello")
    fox = model.tokenize(" fox", add_special=False)[0]
    events = list(session.generate(prompt, Always(fox), pyggml.GenerationOptions()))
    assert done(events).reason == "context"
    # The last token needs no room: nothing is computed after it.
    assert len(prompt) + len(tokens_of(events)) == model.n_ctx + 1
    assert len(session.tokens) == model.n_ctx


def test_a_shift_keeps_the_beginning_and_forgets_half_of_the_rest(model: Model, session: Session) -> None:
    prompt = model.tokenize(STORY)
    fox = model.tokenize(" fox", add_special=False)[0]
    options = pyggml.GenerationOptions(max_tokens=model.n_ctx, context_shift=True, keep=7)
    events = list(session.generate(prompt, Always(fox), options))
    assert done(events).reason == "length"
    assert len(tokens_of(events)) == model.n_ctx
    n_discarded = (model.n_ctx - 7) // 2
    assert session.tokens[:7] == prompt[:7]
    # Generated were n_ctx tokens, the last of them not evaluated.
    assert len(session.tokens) == len(prompt) + model.n_ctx - 1 - n_discarded
    again = list(session.generate(prompt, Always(fox), pyggml.GenerationOptions(max_tokens=1)))
    assert done(again).timings.n_cached == 7


def test_nothing_to_forget_ends_the_text(model: Model, session: Session) -> None:
    prompt = model.tokenize(STORY * 20)[: model.n_ctx - 1]
    options = pyggml.GenerationOptions(context_shift=True, keep=-1)
    assert done(list(session.generate(prompt, Greedy(), options))).reason == "context"


@pytest.mark.parametrize("cache_type", ["f32", "q8_0"])
def test_shifted_keys_are_those_of_the_new_positions(cache_type: str, tmp_path: Path) -> None:
    # With one layer, keys and values depend on their own token and position alone, so that a shifted context must give
    # what the tokens that are left give from the start.
    path = tmp_path / "random.gguf"
    random_model(path, RandomModel(n_layers=1, n_embd=256, n_head=4, n_head_kv=2, rope_scaling="yarn", rope_factor=2.0))
    model = pyggml.load(path, n_ctx=256, cache_type_k=cache_type, cache_type_v=cache_type)
    tokens = [int(token) for token in np.random.default_rng(0).integers(0, 256, 200)]
    sequence = model.engine.new_sequence()
    model.engine.step([Part(sequence, 0, tokens, [])])
    model.engine.discard(sequence, 11, 90, len(tokens))
    left = tokens[:11] + tokens[101:]
    found = model.engine.step([Part(sequence, len(left), [42], [0])])[0].copy()
    expected = model.logits([*left, 42])[-1]
    error = float(((found - expected) ** 2).sum() / (expected**2).sum())
    assert error <= (1e-9 if cache_type == "f32" else 1e-4)
    # Without the turn of the keys the result is another one altogether.
    unturned = model.logits([*tokens, 42])[-1]
    assert float(((unturned - expected) ** 2).sum() / (expected**2).sum()) > 1e-3


def test_sequences_of_one_step_do_not_see_each_other(model: Model) -> None:
    first, second = model.tokenize(STORY), model.tokenize("What is 37 + 48? What is it?")
    a, b = model.engine.new_sequence(), model.engine.new_sequence()
    together = model.engine.step(
        [Part(a, 0, first[:12], [11]), Part(b, 0, second[:9], [3, 8])],
    ).copy()
    np.testing.assert_array_equal(together[0], model.logits(first[:12])[11])
    np.testing.assert_array_equal(together[1:], model.logits(second[:9])[[3, 8]])
    for sequence in (a, b):
        sequence.truncate(0)


def test_a_forked_sequence_writes_to_pages_of_its_own(model: Model) -> None:
    tokens = model.tokenize(STORY)[:20]
    original = model.engine.new_sequence()
    model.engine.step([Part(original, 0, tokens, [])])
    fork = original.fork()
    model.engine.step([Part(fork, 20, [5, 6], [1])])
    found = model.engine.step([Part(original, 20, [7, 8], [1])])[0].copy()
    np.testing.assert_array_equal(found, model.logits([*tokens, 7, 8])[-1])
    for sequence in (original, fork):
        sequence.truncate(0)


def test_a_generation_that_is_left_goes_on_where_it_was(model: Model, session: Session) -> None:
    prompt = model.tokenize(STORY)
    options = pyggml.GenerationOptions(max_tokens=20)
    whole = tokens_of(list(session.generate(prompt, Greedy(), options)))
    session.clear()
    generation = session.generate(prompt, Greedy(), options)
    part = tokens_of(list(islice(generation, 6)))
    generation.close()  # type: ignore[attr-defined]  # an iterator to users, a generator inside
    assert session.tokens == prompt + part[: len(session.tokens) - len(prompt)]
    rest = session.generate(prompt + part, Greedy(), pyggml.GenerationOptions(max_tokens=20 - len(part)))
    assert part + tokens_of(list(rest)) == whole


def test_a_saved_session_goes_on(model: Model, session: Session, tmp_path: Path) -> None:
    prompt = model.tokenize(STORY)
    options = pyggml.GenerationOptions(max_tokens=10)
    expected = tokens_of(list(session.generate(prompt, Greedy(), options)))
    session.save(tmp_path / "session")
    session.clear()
    session.load(tmp_path / "session")
    assert session.tokens == prompt + expected[:-1]
    events = list(session.generate(prompt, Greedy(), options))
    assert done(events).timings.n_cached == len(prompt) - 1
    assert tokens_of(events) == expected


def test_sessions_that_cannot_be_loaded(model: Model, session: Session, tmp_path: Path) -> None:
    list(session.generate(model.tokenize(STORY), Greedy(), pyggml.GenerationOptions(max_tokens=1)))
    path = tmp_path / "session"
    session.save(path)
    sound = path.read_bytes()
    before = list(session.tokens)
    for damaged, message in (
        (b"", "no session saved by pyggml"),
        (b"something else", "no session saved by pyggml"),
        (sound[:18], "header cannot be"),
        (sound[:40], "header cannot be"),
        (sound[:-1], "bytes of keys and values instead of"),
        (sound + b"\0", "bytes of keys and values instead of"),
        (sound.replace(b'"tokens": [', b'"tokens": {'), "header is not what pyggml writes"),
    ):
        path.write_bytes(damaged)
        with pytest.raises(SessionFileError, match=message):
            session.load(path)
        assert session.tokens == before
    path.write_bytes(sound)
    other = pyggml.load(pyggml.demo_model(), n_ctx=256, cache_type_k="f32").session()
    with pytest.raises(SessionFileError, match="another model or other cache formats"):
        other.load(path)
    with pytest.raises(SessionFileError, match="cannot be read"):
        session.load(tmp_path / "absent")
    with pytest.raises(SessionFileError, match="cannot be saved"):
        session.save(tmp_path / "absent" / "session")


def test_contexts_that_do_not_fit(model: Model, session: Session) -> None:
    with pytest.raises(ContextError, match="256 tokens, and the context holds 256"):
        session.generate([1] * 256, Greedy(), pyggml.GenerationOptions())
    with pytest.raises(ContextError, match="the context is empty"):
        session.generate([], Greedy(), pyggml.GenerationOptions())
    with pytest.raises(UsageError, match="token 7936 is not in the vocabulary of 7936"):
        session.generate([1, 7936], Greedy(), pyggml.GenerationOptions())
    with pytest.raises(UsageError, match="token -1 is not in the vocabulary"):
        session.generate([-1], Greedy(), pyggml.GenerationOptions())


def test_options_that_mean_nothing() -> None:
    with pytest.raises(UsageError, match="max_tokens is -3"):
        pyggml.GenerationOptions(max_tokens=-3)
    with pytest.raises(UsageError, match="keep is -2"):
        pyggml.GenerationOptions(keep=-2)
