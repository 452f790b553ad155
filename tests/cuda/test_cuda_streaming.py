"""Layers whose weights are streamed to an emulated GPU, whose streams take turns in any order: what it computes, and
what the CPU's cache holds afterwards, are the CPU's."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("cupy", reason="needs CuPy, which the extra [cuda] brings; kernels are emulated without it")

import pyggml
from pyggml.backend import gpu_limits, streaming
from pyggml.backend.cpu import CPUBackend
from pyggml.backend.cuda import StreamingGPU
from pyggml.backend.cuda.batch_pages import BatchPages
from pyggml.backend.cuda.streaming import LayerStream
from pyggml.backend.graph import Attention, Graph, RMSNorm
from pyggml.backend.protocol import CacheShape, Step
from pyggml.backend.streaming import StreamingBackend
from pyggml.errors import DeviceError
from pyggml_kernels.formats import format_named
from pyggml_reference.random_model import RandomModel, random_model
from tests.cuda.deferred_device import DeferredDevice
from tests.kernels import small_decoder
from tests.kernels.small_decoder import HEAD_SIZE, N_BATCH, N_KV_HEADS, N_PAGES, N_SEQUENCES, PAGE_SIZE, Decoder, Part

N_LAYERS = 4
SHAPE = CacheShape(N_LAYERS, N_KV_HEADS, HEAD_SIZE, HEAD_SIZE, N_PAGES, PAGE_SIZE, "f16", "f16")
TEXT = [3, 14, 15, 9, 26, 5, 35, 8, 9, 7, 9, 32, 38, 4, 6, 26, 43, 3, 8, 32, 7, 9, 5]
#: Tokens from which on the tests stream.
LEAST = 4


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A decoder of a few layers, and batches that are long with a few tokens."""
    monkeypatch.setattr(small_decoder, "N_LAYERS", N_LAYERS)
    monkeypatch.setattr(streaming, "LEAST_TOKENS", LEAST)


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> DeferredDevice:
    deferred = DeferredDevice(seed=1)
    deferred.install(monkeypatch)
    return deferred


def layered(graph: Graph) -> Graph:
    """The graph with the beginnings of its layers."""
    norms = [node.output.index for node in graph.nodes if isinstance(node, RMSNorm)]
    attentions = [node.output.index for node in graph.nodes if isinstance(node, Attention)]
    graph.layer_starts = [max(norm for norm in norms if norm < attention) for attention in attentions]
    return graph


class Runner(small_decoder.Runner):
    """The decoder on a backend; `pages` are those of each sequence."""

    def __init__(self, decoder: Decoder, backend: Any) -> None:
        self.backend = backend
        self.cache = backend.cache(SHAPE)
        self.executable = backend.compile(layered(decoder.graph(backend)), self.cache)
        self.pages = np.random.default_rng(5).permutation(N_PAGES).reshape(N_SEQUENCES, -1).astype(np.int32)


def runners(format_name: str) -> tuple[Runner, Runner]:
    """On the CPU alone, and with streaming."""
    decoder = Decoder(format_name, True)
    cpu = CPUBackend(1, N_BATCH, N_SEQUENCES)
    streamed: Any = StreamingBackend(cpu, StreamingGPU(N_BATCH, N_SEQUENCES))
    return Runner(decoder, cpu), Runner(decoder, streamed)


def nmse(found: npt.NDArray[Any], exact: npt.NDArray[Any]) -> float:
    a, b = (each.astype(np.float64) for each in (found, exact))
    return float(((a - b) ** 2).sum() / (b**2).sum())


@pytest.mark.parametrize(("format_name", "n_lanes"), [("Q8_0", 3), ("F16", 8)])
def test_batches_of_any_size(
    device: DeferredDevice, monkeypatch: pytest.MonkeyPatch, format_name: str, n_lanes: int
) -> None:
    # With many threads each has a piece or two of a layer, with few it has to wait for its buffers.
    monkeypatch.setattr("pyggml.backend.cuda.weights.available_cores", lambda: n_lanes)
    alone, streamed = runners(format_name)
    batches = [
        [Part(0, 0, TEXT[:9], range(9))],
        [Part(0, 9, TEXT[9:10], [0]), Part(1, 0, TEXT[:2], [1])],  # on the CPU
        [Part(0, 10, TEXT[10:13], [2]), Part(2, 0, TEXT[:5], [0, 4]), Part(1, 2, TEXT[2:8], [])],
        [Part(0, 13, TEXT[13:], [])],
        [Part(0, len(TEXT), [1], [0])],  # on the CPU
    ]
    for batch in batches:
        n_launches = len(device.launched)
        found, exact = streamed.run(batch), alone.run(batch)
        assert found.shape == exact.shape
        assert not exact.size or nmse(found, exact) < 1e-4
        n_tokens = sum(len(part.tokens) for part in batch)
        assert (len(device.launched) > n_launches) == (n_tokens >= LEAST)
    for kind in ("keys", "values"):
        found, exact = (getattr(each.cache, kind).data.view(np.float16) for each in (streamed, alone))
        assert nmse(found, exact) < 1e-5
        np.testing.assert_array_equal(found != 0, exact != 0)
    # Packed anew for each of the three long batches.
    packs = sum(each.startswith("pack") for each in device.launched)
    assert packs % 3 == 0
    assert bool(packs) == (format_name == "Q8_0")


@pytest.mark.parametrize(("n_gpu_layers", "cache_type"), [(1, "f16"), (2, "f32"), (1, "q8_0")])
def test_a_model_that_is_loaded(
    device: DeferredDevice, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, n_gpu_layers: int, cache_type: str
) -> None:
    path = tmp_path / "random.gguf"
    random_model(path, RandomModel(n_layers=3, n_embd=256))
    options: Any = {"n_ctx": 256, "n_batch": 40, "n_threads": 1, "cache_type_k": cache_type, "cache_type_v": cache_type}
    alone, shared = (pyggml.load(path, n_gpu_layers=n, **options) for n in (0, n_gpu_layers))
    n_streamed = 0

    def counted(*arguments: Any) -> Any:
        nonlocal n_streamed
        n_streamed += 1
        return run(*arguments)

    run = LayerStream.run
    monkeypatch.setattr(LayerStream, "run", counted)
    tokens = [1 + i * 7 % 250 for i in range(43)]
    # 40 tokens, then 3.
    assert nmse(shared.logits(tokens), alone.logits(tokens)) < 1e-5
    assert n_streamed == 1
    states = [each.hidden_states(tokens[:40], 3 - n_gpu_layers) for each in (shared, alone)]
    assert nmse(*states) < 1e-5
    assert n_streamed == 2


def test_more_pages_than_there_is_room_for(device: DeferredDevice, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pyggml.backend.cuda.streaming.streamed_pages", lambda *_: 2)
    alone, streamed = runners("Q8_0")
    for batch, is_streamed in (([Part(0, 0, TEXT[:8], [7])], True), ([Part(0, 8, TEXT[8:14], [5])], False)):
        n_launches = len(device.launched)
        assert nmse(streamed.run(batch), alone.run(batch)) < 1e-4
        assert (len(device.launched) > n_launches) == is_streamed


def test_what_only_numpy_packs_is_not_streamed(device: DeferredDevice) -> None:
    alone, streamed = runners("IQ4_XS")
    batch = [Part(0, 0, TEXT[:8], [7])]
    np.testing.assert_array_equal(streamed.run(batch), alone.run(batch))
    assert not device.launched


def test_a_gpu_that_fails_while_layers_are_fetched(device: DeferredDevice, monkeypatch: pytest.MonkeyPatch) -> None:
    import cupy

    def fail(*_: object) -> None:
        raise cupy.cuda.runtime.CUDARuntimeError(719)

    _, streamed = runners("F16")
    streamed.run([Part(0, 0, TEXT[:8], [7])])
    monkeypatch.setattr("pyggml_cuda.device.copy_to_device", fail)
    with pytest.raises(DeviceError, match="CUDA0 failed"):
        streamed.run([Part(0, 8, TEXT[8:14], [5])])


def test_the_cache_has_to_be_the_cpus() -> None:
    with pytest.raises(TypeError, match="what is streamed needs a cache on the CPU"):
        StreamingGPU(1, 1).compile(Graph(), object())  # type: ignore[arg-type]  # what is refused


def test_formats_that_the_gpu_packs() -> None:
    assert all(gpu_limits.is_streamed(format_named(name)) for name in ("F16", "Q3_K", "Q8_0"))
    assert not gpu_limits.is_streamed(format_named("IQ4_XS"))


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_pages_of_a_batch(data: st.DataObject) -> None:
    page_size, n_sequences = data.draw(st.integers(1, 5)), data.draw(st.integers(1, 4))
    spans = [(data.draw(st.integers(0, 12)), data.draw(st.integers(0, 9))) for _ in range(n_sequences)]
    own = iter(data.draw(st.permutations(range(120))))
    shared = [next(own) for _ in range(24)]
    tables = []
    for first, _ in spans:
        # Pages before the batch may be shared.
        n_shared = data.draw(st.integers(0, first // page_size))
        tables.append([*shared[:n_shared], *[next(own) for _ in range(24 - n_shared)]])
    positions = [first + i for first, n in spans for i in range(n)]
    sequences = [sequence for sequence, (_, n) in enumerate(spans) for _ in range(n)]
    arrays: Any = (np.array(each, np.int32) for each in (positions, positions, sequences, tables, []))
    step = Step(*arrays)
    batch = BatchPages.of(step, page_size)
    assert len(set(batch.pages.tolist())) == len(batch.pages)
    earlier, written = set[int](), set[int]()
    for table, numbers, (first, n) in zip(tables, batch.table, spans, strict=True):
        for position in range(first + n if n else 0):
            index = position // page_size
            assert batch.pages[numbers[index]] == table[index]
            (earlier if position < first else written).add(table[index])
    assert set(batch.pages[: batch.n_earlier].tolist()) == earlier
    assert set(batch.pages[batch.written].tolist()) == written
    assert len(batch.pages) == len(earlier | written)
