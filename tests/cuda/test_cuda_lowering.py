"""Graphs become launches: which are fused, where values lie, when a graph is captured. On a device that keeps books."""

from dataclasses import replace
from typing import Any, cast

import numpy as np
import pytest

pytest.importorskip(
    "cupy", reason="needs CuPy, which the extra [cuda] brings; sources and layouts are tested without it"
)

import cupy
from hypothesis import given, settings
from hypothesis import strategies as st

from pyggml.backend.cuda import CUDABackend, cache
from pyggml.backend.cuda.memory import Buffer, Operation, lay_out
from pyggml.backend.graph import Attention, Graph, Linear, RMSNorm
from pyggml.backend.observation import Observer
from pyggml.backend.protocol import CacheShape, RankingExecutable, Step
from pyggml.backend.segments import cut
from pyggml.errors import DeviceError, DeviceMemoryError, ModelError, UsageError
from pyggml_cuda import largest
from pyggml_cuda.cache import CacheRows
from pyggml_cuda.device import unavailable
from pyggml_kernels.formats import format_named
from pyggml_reference import quants
from tests.cuda.fake_device import FakeDevice
from tests.kernels.small_decoder import N_BATCH, N_EMBD, N_SEQUENCES, N_VOCAB, Decoder

SHAPE = CacheShape(2, 2, 64, 64, 24, 4, "f16", "f16")


class DeviceDecoder(Decoder):
    """With its embeddings in a table."""

    def compiled_for(self, backend: CUDABackend) -> Any:
        """The decoder on a cache of its own."""
        return backend.compile(self.graph(cast("Any", backend)), backend.cache(SHAPE))

    def _place(self, backend: Any, name: str) -> Any:
        if name != "token_embd.weight":
            return super()._place(backend, name)
        values = self.weights[name]
        form = format_named(self.format_name)
        return backend.table(quants.quantize(form.type_id, values).reshape(-1), form.type_id, *values.shape)


class FakeStore:
    """Rows at an address where there is nothing."""

    def __init__(self, name: str, shape: tuple[int, ...], size: int, rotation: int) -> None:
        self.name, self.page_size, self.row_bytes, self.rotation = name, shape[3], 2 * size, rotation

    def rows(self, layer: int) -> CacheRows:
        return CacheRows(self.name, 4096 * layer, 4096, self.row_bytes, self.page_size)


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> FakeDevice:
    fake = FakeDevice()
    fake.install(monkeypatch)
    monkeypatch.setattr(cache, "RowStore", FakeStore)
    return fake


def step(n: int, outputs: list[int], first: int = 0) -> Step:
    """Tokens of one sequence."""
    positions, zeros = np.arange(first, first + n, dtype=np.int32), np.zeros(n, np.int32)
    return Step(zeros, positions, zeros, np.zeros((1, 24), np.int32), np.array(outputs, np.int32))


def test_a_layer_is_a_dozen_launches(device: FakeDevice) -> None:
    backend = CUDABackend(N_BATCH, N_SEQUENCES)
    executable = DeviceDecoder("Q4_K", True).compiled_for(backend)
    device.launched.clear()
    assert executable.run(step(1, [0])).shape == (1, N_VOCAB)
    whole = "Quantized<Block::Q8_K, Sums::WHOLE, 32>"
    layer = [
        f"convert<RMSNorm, {whole}>",
        "matmul_few<Q4_K, 1>",
        "turn_and_store<CacheHalf, CacheHalf>",
        "attend<CacheHalf, CacheHalf, 64, 64, 8, 1, 4, 3>",
        f"convert<Splits, {whole}>",
        "matmul_few<Q4_K, 1>",
        f"convert<RMSNorm, {whole}>",
        "matmul_few<Q4_K, 1>",
        f"convert<SwiGLU, {whole}>",
        "matmul_few<Q4_K, 1>",
    ]
    end = ["select_rows", f"convert<RMSNorm, {whole}>", "matmul_few<Q4_K, 1>"]
    assert device.names() == ["rope_angles", *layer, *layer, *end]


def test_the_second_run_of_a_shape_is_a_graph(device: FakeDevice) -> None:
    backend = CUDABackend(N_BATCH, N_SEQUENCES)
    executable = DeviceDecoder("Q8_0", True).compiled_for(backend)
    for n_runs, n_graphs in ((1, 0), (2, 1), (3, 1)):
        executable.run(step(1, [0], n_runs))
        assert device.n_captured == n_graphs
    executable.run(step(9, []))
    assert device.n_captured == 1
    assert executable.run(step(9, [])).shape == (0, N_VOCAB)


def test_batches_of_about_one_size_share_a_graph(device: FakeDevice) -> None:
    executable = DeviceDecoder("Q8_0", True).compiled_for(CUDABackend(N_BATCH, N_SEQUENCES))
    for n, n_graphs in ((9, 0), (11, 1), (16, 1), (17, 1), (20, 2), (19, 2)):
        assert executable.run(step(n, [0, n - 1])).shape == (2, N_VOCAB)
        assert device.n_captured == n_graphs


def test_ranked_results_stay_on_the_device(device: FakeDevice, monkeypatch: pytest.MonkeyPatch) -> None:
    backend = CUDABackend(N_BATCH, N_SEQUENCES)
    executable = DeviceDecoder("Q8_0", True).compiled_for(backend)
    assert isinstance(executable, RankingExecutable)
    copied: list[int] = []
    monkeypatch.setattr("pyggml_cuda.device.copy_to_host", lambda target, *_: copied.append(target.nbytes))
    n_kept = min(largest.MAX_KEPT, N_VOCAB)
    for n_runs in range(3):
        device.launched.clear()
        found = executable.rank(step(3, [0, 2], n_runs))
        assert found.values.shape == found.places.shape == (2, n_kept)
        assert device.names()[-2:] == ["group_maxima", "largest"]
    assert device.n_captured == 1
    assert copied == [8 * 2 * n_kept] * 3
    maxima, end = (each.arguments for each in device.launched[-2:])
    assert [int(each) for each in maxima[:2]] == [int(each) for each in end[:2]]
    assert [int(each) for each in end[4:]] == [N_VOCAB, -(-N_VOCAB // 32), n_kept]
    assert int(end[3]) - int(end[2]) == 4 * 2 * n_kept
    assert executable.row(1).shape == (N_VOCAB,)
    assert copied[-1] == 4 * N_VOCAB
    device.launched.clear()
    assert executable.rank(step(3, [])).values.shape == (0, n_kept)
    assert "largest" not in device.names()


def test_rows_that_are_too_long_are_not_ranked(device: FakeDevice, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(largest, "MAX_COLUMNS", N_VOCAB - 1)
    executable = DeviceDecoder("Q8_0", True).compiled_for(CUDABackend(N_BATCH, N_SEQUENCES))
    assert not isinstance(executable, RankingExecutable)


def test_cublas_stays_out_of_graphs(device: FakeDevice) -> None:
    backend = CUDABackend(N_BATCH, N_SEQUENCES)
    executable = DeviceDecoder("F16", True).compiled_for(backend)
    for _ in range(3):
        executable.run(step(9, [0]))
    assert device.n_captured == 0


def test_a_part_behind_a_cut_begins_with_what_it_receives(device: FakeDevice) -> None:
    backend = CUDABackend(N_BATCH, N_SEQUENCES)
    graph = DeviceDecoder("Q4_K", True).graph(cast("Any", backend))
    attentions = [node.output.index for node in graph.nodes if isinstance(node, Attention)]
    norms = [node.output.index for node in graph.nodes if isinstance(node, RMSNorm)]
    # Where the second layer and the output begin.
    graph.layer_starts = [0, max(index for index in norms if index < attentions[1]), norms[-1]]
    first, second, output = cut(graph, [0, 1, 2])
    caches = [backend.cache(replace(SHAPE, n_layers=n)) for n in (1, 1, 0)]
    parts = [backend.compile(part, cache) for part, cache in zip((first, second, output), caches, strict=True)]
    device.launched.clear()
    rows = parts[0].run(step(3, [0, 2]))
    assert rows.shape == (3, N_EMBD)
    rows = parts[1].run(step(3, [0, 2]), rows)
    assert rows.shape == (2, N_EMBD)
    assert device.names().count("rope_angles") == 2
    assert [name for name in device.names() if "attend" in name] == [
        "attend<CacheHalf, CacheHalf, 64, 64, 8, 1, 4, 3>"
    ] * 2
    device.launched.clear()
    assert parts[2].run(step(3, [0, 2]), rows).shape == (2, N_VOCAB)
    assert device.names() == ["convert<RMSNorm, Quantized<Block::Q8_K, Sums::WHOLE, 32>>", "matmul_few<Q4_K, 8>"]
    for _ in range(3):
        assert parts[2].run(step(3, []), rows[:0]).shape == (0, N_VOCAB)
    assert device.n_captured == 0
    with pytest.raises(TypeError, match="a graph that begins with rows of another needs these"):
        parts[2].run(step(3, [0]))


def test_nothing_is_observed_on_a_gpu(device: FakeDevice) -> None:
    backend = CUDABackend(N_BATCH, N_SEQUENCES)
    graph = DeviceDecoder("Q8_0", True).graph(cast("Any", backend))
    weight = next(node.weight for node in graph.nodes if isinstance(node, Linear))
    graph.nodes = Observer({"a": weight}, 1).insert(graph.nodes)
    with pytest.raises(UsageError, match="inputs of weights cannot be summed up on a GPU: load the model with -ngl 0"):
        backend.compile(graph, backend.cache(SHAPE))


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_buffers_that_are_needed_together_do_not_overlap(data: st.DataObject) -> None:
    buffers = [Buffer(data.draw(st.integers(1, 2000))) for _ in range(data.draw(st.integers(1, 12)))]
    operations: list[Operation] = []
    written: list[Buffer] = []
    for buffer in buffers:
        reads = data.draw(st.lists(st.sampled_from(written), max_size=3)) if written else []
        operations.append(Operation(tuple(reads), (buffer,), lambda at: lambda stream: None))
        written.append(buffer)
    offsets, total = lay_out(operations, buffers[-1])
    last = {b: max(i for i, o in enumerate(operations) if b in (*o.reads, *o.writes)) for b in buffers}
    last[buffers[-1]] = len(operations)
    for i, a in enumerate(buffers):
        assert offsets[a] % 256 == 0
        assert offsets[a] + a.n_bytes <= total
        for j, b in enumerate(buffers[:i]):
            if last[b] >= i:
                assert offsets[a] >= offsets[b] + b.n_bytes or offsets[b] >= offsets[a] + a.n_bytes, (i, j)


def test_what_a_gpu_cannot_do_is_refused(device: FakeDevice) -> None:
    backend = CUDABackend(1, 1)
    with pytest.raises(UsageError, match="heads have values of 40 numbers; on a GPU allowed is a multiple of 16 up to"):
        backend.cache(CacheShape(1, 1, 64, 40, 1, 64, "f16", "f16"))
    with pytest.raises(ModelError, match="a matrix in F16 has 12 columns; on a GPU they have to be a multiple of 8"):
        backend.matrix(np.zeros(24, np.uint8), format_named("F16").type_id, 1, 12)


def test_heads_that_need_more_shared_memory(device: FakeDevice, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pyggml_cuda.device.shared_limit", lambda: 16 * 1024)
    with pytest.raises(
        UsageError, match="heads of 64 and 64 numbers in f16 and f16 need more than the 16384 bytes of shared memory"
    ):
        DeviceDecoder("Q8_0", True).compiled_for(CUDABackend(N_BATCH, N_SEQUENCES))


def test_memory_that_is_full_is_an_error_that_says_so(device: FakeDevice, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(n_bytes: int) -> None:
        raise MemoryError(f"out of memory allocating {n_bytes} bytes")

    backend, data = CUDABackend(1, 1), np.zeros(16 * 8 * 34, np.uint8)
    backend.matrix(data, 8, 16, 256)
    monkeypatch.setattr("pyggml_cuda.device.empty", refuse)
    with pytest.raises(DeviceMemoryError, match=r"memory is full: no room for a matrix of 16 x 256 in Q8_0 \(out of"):
        backend.matrix(data, 8, 16, 256)


def test_a_gpu_that_fails(device: FakeDevice, monkeypatch: pytest.MonkeyPatch) -> None:
    executable = DeviceDecoder("Q8_0", True).compiled_for(CUDABackend(N_BATCH, N_SEQUENCES))

    def fail(*_: object) -> None:
        raise cupy.cuda.runtime.CUDARuntimeError(719)

    monkeypatch.setattr("pyggml_cuda.device.copy_to_host", fail)
    with pytest.raises(
        DeviceError, match=r"CUDA0 failed \(cudaErrorLaunchFailure.*\); start anew; if it fails again, leave it out"
    ):
        executable.run(step(1, [0]))


def test_memory_may_be_full_later(device: FakeDevice, monkeypatch: pytest.MonkeyPatch) -> None:
    backend = CUDABackend(N_BATCH, N_SEQUENCES)
    decoder = DeviceDecoder("Q8_0", True)
    executable, graph, its_cache = (
        decoder.compiled_for(backend),
        decoder.graph(cast("Any", backend)),
        backend.cache(SHAPE),
    )
    executable.run(step(1, [0]))

    def refuse(n_bytes: int) -> None:
        raise MemoryError(f"out of memory allocating {n_bytes} bytes")

    monkeypatch.setattr("pyggml_cuda.device.allocate", refuse)
    with pytest.raises(DeviceMemoryError, match="no room for what 16 tokens come to in between; a smaller -ub or -ngl"):
        executable.run(step(9, [0]))
    with pytest.raises(DeviceMemoryError, match=f"no room for what comes with a batch of {N_BATCH} tokens"):
        backend.compile(graph, its_cache)
    # What fits goes on.
    assert executable.run(step(1, [0])).shape == (1, N_VOCAB)


@pytest.mark.parametrize(
    ("n_devices", "capability", "reason"),
    [(0, (9, 0), "finds no GPU"), (1, (7, 0), "has compute capability 7.0; 7.5 is the least"), (1, (9, 0), None)],
)
def test_a_gpu_that_cannot_be_used(
    monkeypatch: pytest.MonkeyPatch, n_devices: int, capability: tuple[int, int], reason: str | None
) -> None:
    monkeypatch.setattr("cupy.cuda.runtime.getDeviceCount", lambda: n_devices)
    monkeypatch.setattr("pyggml_cuda.device.capability_of", lambda number: capability)
    found = unavailable()
    assert (found is None) == (reason is None)
    assert reason is None or reason in str(found)


def test_what_lies_elsewhere_is_refused(device: FakeDevice) -> None:
    backend = CUDABackend(1, 1)

    class Elsewhere:
        shape = SHAPE
        n_rows, n_columns = 1, 64

    decoder = DeviceDecoder("Q8_0", True)
    with pytest.raises(TypeError, match="a CUDA plan needs a cache on the GPU"):
        backend.compile(decoder.graph(cast("Any", backend)), cast("Any", Elsewhere()))
    graph = Graph()
    graph.embed(Elsewhere())
    with pytest.raises(TypeError, match="looks up rows in tables that this backend placed"):
        backend.compile(graph, backend.cache(SHAPE))
    graph = Graph()
    x = graph.embed(backend.table(np.zeros(34 * 8, np.uint8), 8, 1, 256))
    graph.linear(x, Elsewhere())
    with pytest.raises(TypeError, match="a CUDA plan needs weights placed on the GPU"):
        backend.compile(graph, backend.cache(SHAPE)).run(step(1, [0]))
    graph = Graph()
    x = graph.embed(backend.table(np.zeros(34 * 8, np.uint8), 8, 1, 256))
    graph.attention(x, x, x, layer=0, n_heads=4, scale=1.0, n_columns=256)
    with pytest.raises(TypeError, match="needs queries and keys that are turned by the same angles"):
        backend.compile(graph, backend.cache(SHAPE)).run(step(1, [0]))
