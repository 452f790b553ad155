"""Several GPUs, and other devices inside a GPU's graph: on devices that keep books, and know which one is current."""

from typing import Any, cast

import numpy as np
import pytest

pytest.importorskip("cupy", reason="needs CuPy, which the extra [cuda] brings; placement is tested without it")

from pyggml.backend.cpu import CPUBackend
from pyggml.backend.cuda import CUDABackend, cache
from pyggml.backend.graph import Graph, Linear
from pyggml.backend.overrides import TensorOverride
from pyggml.backend.protocol import Backend
from pyggml.backend.split import LayerSplit
from pyggml.errors import DeviceMemoryError
from pyggml_cuda.device import unavailable, usable
from pyggml_kernels.formats import format_named
from tests.cuda.fake_device import FakeDevice
from tests.cuda.test_cuda_lowering import SHAPE, DeviceDecoder, FakeStore, step
from tests.kernels.small_decoder import N_BATCH, N_SEQUENCES, N_VOCAB

#: Kernels of attention, which are not to be launched where it is computed elsewhere.
ATTENTION = ("turn_and_store", "attend", "convert<Splits")


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> FakeDevice:
    fake = FakeDevice()
    fake.install(monkeypatch)
    monkeypatch.setattr(cache, "RowStore", FakeStore)
    return fake


def backend(number: int) -> CUDABackend:
    return CUDABackend(N_BATCH, N_SEQUENCES, number)


class PlacedDecoder(DeviceDecoder):
    """With a store for each weight, by name."""

    def __init__(self, stores: Any) -> None:
        super().__init__("Q8_0", True)
        self._stores = stores

    def _place(self, backend: Any, name: str) -> Any:
        return super()._place(self._stores(name), name)


def test_each_gpu_has_its_own(device: FakeDevice) -> None:
    first, second = backend(0), backend(1)
    layers: list[Backend] = [first, second, second]
    decoder = PlacedDecoder(lambda name: layers[1 if name.startswith(("blk.1", "output")) else 0])
    graph = decoder.graph(cast("Any", first))
    starts = [node.output.index - 1 for node in graph.nodes if isinstance(node, Linear)]
    graph.layer_starts = [starts[0], starts[7], starts[14]]
    split = LayerSplit(layers)
    executable = split.compile(graph, split.cache(SHAPE))
    weights = [node.weight for node in graph.nodes if isinstance(node, Linear)]
    assert [weight.memory.number for weight in cast("Any", weights)] == [0] * 7 + [1] * 8
    device.n_launched.clear()
    for _ in range(3):
        assert executable.run(step(3, [0, 2])).shape == (2, N_VOCAB)
    assert sorted(device.n_launched) == [0, 1]
    assert device.current == [0]
    assert device.n_captured == 2


def test_attention_in_main_memory(device: FakeDevice) -> None:
    gpu, cpu = backend(1), CPUBackend(1, N_BATCH, N_SEQUENCES)
    split = LayerSplit([gpu] * 3, cpu)
    its_cache = split.cache(SHAPE)
    assert (its_cache.part_of(gpu).shape.n_layers, its_cache.part_of(cpu).shape.n_layers) == (0, 2)
    executable = split.compile(DeviceDecoder("Q8_0", True).graph(cast("Any", gpu)), its_cache)
    device.launched.clear()
    for n, outputs in ((1, [0]), (9, [0, 8]), (1, []), (1, [0]), (1, [0])):
        assert executable.run(step(n, outputs)).shape == (len(outputs), N_VOCAB)
    assert not any(name.startswith(ATTENTION) for name in device.names())
    assert sum(name.startswith("matmul_few") for name in device.names()) > 0
    # What waits for the host is in no graph.
    assert device.n_captured == 0


@pytest.mark.parametrize("home", [0, 1])
def test_weights_elsewhere(device: FakeDevice, home: int) -> None:
    gpus = [backend(0), backend(1)]
    cpu = CPUBackend(1, N_BATCH, N_SEQUENCES)
    overrides: list[TensorOverride[Backend]] = [TensorOverride("ffn_down", gpus[1 - home]), TensorOverride("_q", cpu)]
    stores = [*overrides, gpus[home]]
    decoder = PlacedDecoder(
        lambda name: next(each for each in stores if not isinstance(each, TensorOverride) or each.takes(name))
    )
    split = LayerSplit([gpus[home]] * 3, None, overrides)
    executable = split.compile(decoder.graph(cast("Any", gpus[home])), split.cache(SHAPE))
    device.n_launched.clear()
    for n in (1, 9, 1, 1):
        assert executable.run(step(n, [0])).shape == (1, N_VOCAB)
    # Of each layer, what leads to ffn_down's form and the product.
    assert device.n_launched[1 - home] == 4 * 2 * 2
    assert device.current == [0]


def test_an_arena_is_shared_and_grows(device: FakeDevice) -> None:
    gpu = backend(0)
    decoder = DeviceDecoder("Q8_0", True)
    first, second = decoder.compiled_for(gpu), decoder.compiled_for(gpu)
    first.run(step(1, [0]))
    second.run(step(9, [0]))
    for _ in range(2):
        first.run(step(1, [0]))
        second.run(step(9, [0]))
    # The plan of one token was made anew when the arena grew for nine.
    assert device.n_captured == 2
    assert first._arena is second._arena


def test_memory_that_is_full_names_the_gpu(device: FakeDevice, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(n_bytes: int) -> None:
        raise MemoryError(f"out of memory allocating {n_bytes} bytes")

    matrix = np.zeros(16 * 8 * 34, np.uint8), format_named("Q8_0").type_id, 16, 256
    gpu = backend(1)
    gpu.matrix(*matrix)
    monkeypatch.setattr("pyggml_cuda.device.empty", refuse)
    with pytest.raises(DeviceMemoryError, match=r"CUDA1's memory is full: no room for a matrix of 16 x 256 in Q8_0"):
        gpu.matrix(*matrix)


def test_gpus_that_are_too_old_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    capabilities = [(7, 0), (9, 0), (7, 5)]
    monkeypatch.setattr("cupy.cuda.runtime.getDeviceCount", lambda: 3)
    monkeypatch.setattr("pyggml_cuda.device.capability_of", lambda number: capabilities[number])
    assert usable() == [1, 2]
    assert unavailable() is None
    del capabilities[1:]
    monkeypatch.setattr("cupy.cuda.runtime.getDeviceCount", lambda: 1)
    assert unavailable() == "the GPU has compute capability 7.0; 7.5 is the least"


def test_a_graph_that_lacks_rows(device: FakeDevice) -> None:
    graph = Graph()
    gpu = backend(0)
    graph.embed(gpu.table(np.zeros(34 * 8, np.uint8), 8, 1, 256))
    executable = gpu.compile(graph, gpu.cache(SHAPE))
    with pytest.raises(TypeError, match="no step was sent yet"):
        _ = executable._inputs.step
