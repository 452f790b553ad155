"""A decoder that is shown pictures on the GPU: positions by section, and rows in place of embeddings."""

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

pytest.importorskip("cupy", reason="needs CuPy, which the extra [cuda] brings")

from pyggml.backend.cuda import CUDABackend, cache
from pyggml.backend.cuda.inputs import StepInputs
from pyggml.backend.graph import Graph, SectionRope
from pyggml.backend.protocol import CacheShape, Step
from pyggml_cuda.sections import SectionAngles, section_angles
from tests.cuda.fake_device import FakeDevice
from tests.cuda.test_cuda_lowering import FakeStore

N_EMBD, N_VOCAB = 256, 9
ROPE = SectionRope(32, 0.9, 0.5, ((0, 8, 0), (8, 20, 0), (20, 32, 0)))
TABLE = np.random.default_rng(0).standard_normal((N_VOCAB, N_EMBD)).astype(np.float32)


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> FakeDevice:
    fake = FakeDevice()
    fake.install(monkeypatch)
    monkeypatch.setattr(cache, "RowStore", FakeStore)
    return fake


def attending(backend: CUDABackend) -> Graph:
    """The embeddings attending to themselves."""
    graph = Graph()
    x = graph.place_given(graph.embed(backend.table(TABLE.view(np.uint8).reshape(-1), 0, *TABLE.shape)))
    angles = graph.section_angles(ROPE)
    matrix = np.zeros(N_EMBD * N_EMBD // 32 * 34, np.uint8)
    q, k, v = (graph.linear(x, backend.matrix(matrix, 8, N_EMBD, N_EMBD)) for _ in range(3))
    q, k = graph.rotate(q, angles, ROPE, 4), graph.rotate(k, angles, ROPE, 4)
    graph.attention(q, k, v, layer=0, n_heads=4, scale=1.0, n_columns=N_EMBD)
    return graph


def step(n: int) -> Step:
    numbers, zeros = np.arange(n, dtype=np.int32), np.zeros(n, np.int32)
    places = np.stack([numbers, 2 * numbers, zeros], axis=1)
    return Step(numbers, numbers, zeros, np.zeros((1, 1), np.int32), numbers, places)


def test_what_is_given_takes_the_place_of_embeddings(device: FakeDevice, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[npt.NDArray[np.float32]] = []
    send = StepInputs.send

    def note(self: StepInputs, step: Step, tiles: Any, rows: list[npt.NDArray[np.float32]], stream: Any) -> None:
        sent.extend(rows)
        send(self, step, tiles, rows, stream)

    monkeypatch.setattr(StepInputs, "send", note)
    backend = CUDABackend(8, 1)
    executable = backend.compile(attending(backend), backend.cache(CacheShape(1, 4, 64, 64, 1, 64, "f16", "f16")))
    given = np.full((2, N_EMBD), 7, np.float32) * [[1], [2]]
    executable.run(replace(step(4), given=given.astype(np.float32), given_rows=np.array([-1, 1, -1, 0], np.int32)))
    np.testing.assert_array_equal(sent[0], np.stack([TABLE[0], given[1], TABLE[2], given[0]]))
    executable.run(step(4))
    np.testing.assert_array_equal(sent[1], TABLE[:4])
    # The table itself stays.
    assert not (TABLE == 7).any()


def test_positions_by_section_make_the_angles(device: FakeDevice) -> None:
    backend = CUDABackend(8, 1)
    executable = backend.compile(attending(backend), backend.cache(CacheShape(1, 4, 64, 64, 1, 64, "f16", "f16")))
    device.launched.clear()
    executable.run(step(5))
    assert device.names()[0] == "section_angles"
    assert device.names()[-2].startswith("attend<")
    arguments: Any = device.launched[0].arguments[0]
    assert device.launched[0].grid == (5, 1, 1)
    assert (arguments["n_pairs"], arguments["n_sections"]) == (32, 3)
    assert arguments["sections"].tolist() == [*map(list, ROPE.sections), [0, 0, 0]]
    turned = next(each for each in device.launched if each.kernel.expression.startswith("turn_and_store"))
    assert turned.arguments[0]["angles"] == arguments["out"]


def test_sections_are_as_many_as_a_rope_has(device: FakeDevice) -> None:
    launch = section_angles(SectionAngles(20, 0.9, 1.0, ((0, 20, 0),)), 0, 0, 3)
    assert launch.arguments[0]["n_sections"] == 1


def test_the_output_alone_needs_no_positions(device: FakeDevice) -> None:
    backend = CUDABackend(8, 1)
    graph = Graph()
    graph.select_outputs(graph.embed(backend.table(TABLE.view(np.uint8).reshape(-1), 0, *TABLE.shape)))
    executable = backend.compile(graph, backend.cache(CacheShape(0, 4, 64, 64, 1, 64, "f16", "f16")))
    assert executable.run(step(5)).shape == (5, N_EMBD)
