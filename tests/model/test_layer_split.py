"""A model whose layers are shared out among devices computes what one device computes, bit for bit.

The devices are CPU backends of their own: what is tested is where graphs are cut, and what passes between the parts.
"""

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pyggml
from pyggml.backend.cpu import CPUBackend
from pyggml.backend.graph import Graph
from pyggml.backend.protocol import CacheShape
from pyggml.backend.segments import cut
from pyggml.backend.split import LayerSplit
from pyggml.engine import Engine, GenerationRequest, Part, Scheduler, SchedulerOptions
from pyggml.gguf import GGUFFile
from pyggml.kv_cache import PagedSequence
from pyggml.model import CACHE_TYPES, Model
from pyggml.models import DecoderConfig, architecture_of, load_weights
from pyggml.placement import Placement
from pyggml.sampling import Sampler
from pyggml.tokenizer import load_tokenizer
from pyggml_reference.random_model import RandomModel, random_model

N_LAYERS = 8
N_CTX, N_SEQUENCES, N_BATCH = 256, 3, 32
STORY = "Ravi was a curious boy who lived near the lighthouse. The sky was gray and quiet."
#: How many layers, the output among them, each device has.
SPLITS = [(N_LAYERS + 1 - n, n) for n in range(1, N_LAYERS + 1)] + [(1, 2, 4, 2), (1,) * (N_LAYERS + 1)]

Floats = npt.NDArray[np.float32]


def placement_on(split: Sequence[int]) -> Placement:
    """On devices of their own."""
    devices = [CPUBackend(1, N_BATCH, N_SEQUENCES) for _ in split]
    layers = tuple(device for device, n in zip(devices, split, strict=True) for _ in range(n))
    return Placement(layers, 1, "")


@cache
def loaded(
    split: tuple[int, ...] = (N_LAYERS + 1,),
    cache_types: tuple[str, str] = ("f16", "f16"),
    path: Path = pyggml.demo_model(),  # noqa: B008  # a constant
) -> Model:
    file = GGUFFile.open(path)
    config = DecoderConfig.from_file(file, architecture_of(file))
    assert config.n_layers == sum(split) - 1
    placement = placement_on(split)
    engine = Engine(
        config,
        load_weights(file, config, placement.layers),
        placement.executor,
        n_ctx=N_CTX,
        n_cache=N_CTX * N_SEQUENCES,
        n_batch=N_BATCH,
        cache_formats=cache_types,
    )
    return Model(file, load_tokenizer(file), config, engine, placement)


def greedy(model: Model, prompt: str, max_tokens: int = 30) -> str:
    sampling = pyggml.SamplingOptions(temperature=0.0)
    events = model.generate(prompt, sampling=sampling, max_tokens=max_tokens)
    return "".join(event.text for event in events if isinstance(event, pyggml.TextEvent))


@pytest.mark.parametrize("split", SPLITS, ids=str)
def test_logits_states_and_texts_are_those_of_one_device(split: tuple[int, ...]) -> None:
    one, many = loaded(), loaded(split)
    tokens = one.tokenize(STORY * 2)
    np.testing.assert_array_equal(many.logits(tokens), one.logits(tokens))
    for layer in range(N_LAYERS + 1):
        np.testing.assert_array_equal(many.hidden_states(tokens[:9], layer), one.hidden_states(tokens[:9], layer))
    assert greedy(many, STORY) == greedy(one, STORY) != ""


@pytest.mark.parametrize("values", CACHE_TYPES)
@pytest.mark.parametrize("keys", CACHE_TYPES)
def test_every_type_of_cache(keys: str, values: str) -> None:
    one, many = loaded(cache_types=(keys, values)), loaded((5, 4), (keys, values))
    tokens = one.tokenize(STORY)
    np.testing.assert_array_equal(many.logits(tokens), one.logits(tokens))


def test_angles_by_sections(tmp_path: Path) -> None:
    path = tmp_path / "random.gguf"
    random_model(path, RandomModel("qwen2vl", sections=(2, 3, 3), n_extra_tokens=3, n_layers=3))
    one, many = loaded((4,), path=path), loaded((1, 3), path=path)
    np.testing.assert_array_equal(many.logits(range(1, 40)), one.logits(range(1, 40)))


Batches = list[list[tuple[int, int, list[int]]]]


@settings(max_examples=30, deadline=None)
@given(
    split=st.sampled_from(SPLITS),
    batches=st.lists(
        st.lists(
            st.tuples(st.integers(0, N_SEQUENCES - 1), st.integers(1, 10), st.lists(st.integers(0, 9), max_size=4)),
            min_size=1,
            max_size=N_SEQUENCES,
            unique_by=lambda part: part[0],
        ),
        min_size=1,
        max_size=5,
    ),
    has_head=st.booleans(),
)
def test_steps_of_several_sequences(split: tuple[int, ...], batches: Batches, has_head: bool) -> None:
    results = []
    for model in (loaded(), loaded(split)):
        engine, random = model.engine, np.random.default_rng(1)
        sequences = [engine.new_sequence() for _ in range(N_SEQUENCES)]
        lengths = [0] * N_SEQUENCES
        rows = []
        for batch in batches:
            parts = []
            for number, n, wanted in batch:
                tokens = random.integers(0, engine.config.n_vocab, n).tolist()
                outputs = sorted({each for each in wanted if each < n})
                parts.append(Part(sequences[number], lengths[number], tokens, outputs))
                lengths[number] += n
            rows.append(engine.step(parts, has_head=has_head).copy())
        results.append(rows)
        for sequence in sequences:
            sequence.truncate(0)
    for expected, found in zip(*results, strict=True):
        np.testing.assert_array_equal(found, expected)


def read(model: Model, sequence: PagedSequence, start: int, tokens: Sequence[int]) -> Floats:
    return model.engine.step([Part(sequence, start, tokens, [len(tokens) - 1])])


@pytest.mark.parametrize("split", [(3, 6), (1, 2, 4, 2)], ids=str)
@pytest.mark.parametrize("cache_type", CACHE_TYPES)
def test_sequences_branch_forget_and_go_on(split: tuple[int, ...], cache_type: str) -> None:
    results = []
    for model in (loaded(cache_types=(cache_type,) * 2), loaded(split, (cache_type,) * 2)):
        tokens = model.tokenize(STORY * 2)
        first = model.engine.new_sequence()
        for start in range(0, len(tokens), N_BATCH):
            read(model, first, start, tokens[start : start + N_BATCH])
        branch = first.fork()
        branched = read(model, branch, 10, tokens[:3])  # copies the page that it shares
        model.engine.discard(first, 4, 9, len(tokens))
        shifted = read(model, first, len(tokens) - 9, tokens[:5])
        results.append((branched, shifted))
        first.truncate(0)
        branch.truncate(0)
    for expected, found in zip(*results, strict=True):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("cache_type", CACHE_TYPES)
def test_sessions_go_from_any_split_to_any_other(cache_type: str, tmp_path: Path) -> None:
    types = (cache_type, cache_type)
    models = [loaded(split, types) for split in ((N_LAYERS + 1,), (1, 8), (2, 6, 1))]
    written = []
    for number, model in enumerate(models):
        session = model.session()
        sampler = Sampler(pyggml.SamplingOptions(temperature=0.0), model.tokenizer)
        list(session.generate(model.tokenize(STORY), sampler, pyggml.GenerationOptions(max_tokens=8)))
        session.save(tmp_path / str(number))
        written.append((tmp_path / str(number)).read_bytes())
        session.clear()
    assert written[0] == written[1] == written[2]
    for number, model in enumerate(models):
        session = model.session()
        session.load(tmp_path / str((number + 1) % 3))
        session.save(tmp_path / "again")
        assert (tmp_path / "again").read_bytes() == written[0]
        session.clear()


def test_slots_and_vectors_are_those_of_one_device(tmp_path: Path) -> None:
    results = []
    for model in (loaded(), loaded((2, 7))):
        scheduler = Scheduler(model.engine, model.tokenizer, SchedulerOptions(n_slots=3))
        scheduler.start()
        try:
            request = GenerationRequest(
                tokens=tuple(model.tokenize(STORY)),
                sampling=pyggml.SamplingOptions(seed=1),
                generation=pyggml.GenerationOptions(max_tokens=12),
                slot=1,
            )
            texts = [event.text for event in scheduler.generate(request) if isinstance(event, pyggml.TextEvent)]
            path = tmp_path / "slot"
            saved = scheduler.save_slot(1, path, model.fingerprint).result(60)
            scheduler.forget_all()
            assert scheduler.restore_slot(2, path, model.fingerprint).result(60) == saved
            again = [event.text for event in scheduler.generate(request) if isinstance(event, pyggml.TextEvent)]
            assert again == texts
            vectors = scheduler.embed([model.tokenize(STORY), model.tokenize("Hello")], "mean").result(60)
        finally:
            scheduler.stop(0)
            scheduler.forget_all()
        results.append((texts, path.read_bytes(), [vector.tobytes() for vector in vectors]))
    assert results[0] == results[1]


def test_observers_see_the_same_rows() -> None:
    results = []
    for model in (loaded(), loaded((3, 6))):
        observer = model.engine.observer(model.engine.matrix_names)
        sequence = model.engine.new_sequence()
        tokens = model.tokenize(STORY)[:N_BATCH]
        model.engine.step([Part(sequence, 0, tokens, range(len(tokens)))], observer=observer)
        sequence.truncate(0)
        results.append({name: (sums.squares.tobytes(), sums.count.tobytes()) for name, sums in observer.sums.items()})
    assert results[0] == results[1]
    assert len(results[0]) == 7 * N_LAYERS + 1


def test_what_cannot_be_split() -> None:
    devices = [CPUBackend(1, 1, 1), CPUBackend(1, 1, 1)]
    graph = Graph()
    weight = devices[0].table(np.zeros(4 * 32, np.uint8), 0, 1, 32)
    x = graph.embed(weight)
    graph.begin_layer()
    h = graph.rms_norm(x, weight, 1e-6)
    graph.begin_layer()
    graph.add(x, h)
    with pytest.raises(TypeError, match="a graph is cut where value 0 is still needed behind the last one of a part"):
        cut(graph, [0, 1])
    shape = CacheShape(1, 1, 32, 32, 1, 64, "f16", "f16")
    with pytest.raises(TypeError, match="a plan for several devices needs a cache on all of them"):
        LayerSplit(devices).compile(graph, devices[0].cache(shape))
