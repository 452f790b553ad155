"""Pieces on their way by several threads: all arrive, behind those before them; what fails is said. On a device that
keeps books."""

from functools import partial
from typing import Any

import numpy as np
import pytest

pytest.importorskip("cupy", reason="needs CuPy, which the extra [cuda] brings")

from pyggml.backend.cuda import CUDABackend
from pyggml.errors import DeviceError, DeviceMemoryError
from pyggml_cuda import lanes, pieces
from pyggml_cuda.lanes import Lanes
from pyggml_cuda.pieces import Piece
from pyggml_kernels.formats import format_named
from tests.cuda.fake_device import FakeDevice, Stream
from tests.kernels.calling import random_weights


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> FakeDevice:
    fake = FakeDevice()
    fake.install(monkeypatch)
    for module in (lanes, pieces):
        monkeypatch.setattr(module, "PIECE_BYTES", 5000)
    return fake


@pytest.mark.parametrize("n_lanes", [1, 3, 99])
@pytest.mark.parametrize("n", [0, 1, 2, 50])
def test_all_pieces_arrive(device: FakeDevice, n_lanes: int, n: int) -> None:
    source = np.random.default_rng(n).integers(0, 256, (n, 1000)).astype(np.uint8)
    target = np.zeros_like(source)
    sending = Lanes(n_lanes)
    for _ in range(2):
        sent = [
            Piece(1000, partial(lambda row, host: np.copyto(host, row), row), int(place.ctypes.data))
            for row, place in zip(source, target, strict=True)
        ]
        sending.send(sent).wait()
        np.testing.assert_array_equal(target, source)
        source += 1
    sending.close()


def test_events_are_waited_for(device: FakeDevice) -> None:
    waited: list[Any] = []

    class Waiting(Stream):
        def wait_event(self, event: Any) -> None:
            waited.append(event)

    sending = Lanes(2)
    target = np.zeros(3, np.uint8)
    piece = Piece(3, lambda host: host.fill(7), int(target.ctypes.data))
    sending.send([piece, piece, piece]).precede(Waiting())
    assert len(waited) == 2
    sending.close()


@pytest.mark.parametrize(
    ("name", "launches"),
    [("F16", []), ("Q4_K", ["pack<Q4_K>"] * 3), ("IQ4_XS", ["pack_decoded<32, false>"] * 5)],
)
def test_a_matrix_is_placed_by_pieces(device: FakeDevice, name: str, launches: list[str]) -> None:
    form = format_named(name)
    data = random_weights(form, np.random.default_rng(1), 70, 256).reshape(-1)
    backend = CUDABackend(1, 1)
    weight = backend.matrix(data, form.type_id, 70, 256)
    if not launches:
        np.testing.assert_array_equal(weight.memory.array, data)
    else:
        assert sum(int(each.arguments[0]["n_rows"]) for each in device.launched) == 70
    assert device.names() == launches


def test_rows_that_are_longer_than_a_piece(device: FakeDevice) -> None:
    target = np.zeros(12_000, np.uint8)
    sending = Lanes(1)
    sending.send([Piece(each, lambda host: host.fill(7), int(target.ctypes.data)) for each in (100, 12_000)]).wait()
    sending.close()
    assert (target == 7).all()


def test_a_piece_that_cannot_be_read(device: FakeDevice) -> None:
    def fail(host: Any) -> None:
        raise OSError("the file is gone")

    sending = Lanes(2)
    with pytest.raises(OSError, match="the file is gone"):
        sending.send([Piece(1, fail, 0)]).wait()
    sending.close()


def test_a_gpu_that_fails_while_weights_are_placed(device: FakeDevice, monkeypatch: pytest.MonkeyPatch) -> None:
    import cupy

    def fail(*_: object) -> None:
        raise cupy.cuda.runtime.CUDARuntimeError(719)

    backend = CUDABackend(1, 1)
    monkeypatch.setattr("pyggml_cuda.device.copy_to_device", fail)
    with pytest.raises(DeviceError, match=r"CUDA0 failed \(cudaErrorLaunchFailure.*\); start anew; if it"):
        backend.matrix(np.zeros(16 * 512, np.uint8), format_named("F16").type_id, 16, 256)


def test_no_memory_for_weights_on_their_way(device: FakeDevice, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(n_bytes: int) -> None:
        raise MemoryError(f"out of memory allocating {n_bytes} bytes")

    monkeypatch.setattr("pyggml_cuda.device.empty", refuse)
    with pytest.raises(DeviceMemoryError, match="CUDA0's memory is full: no room for weights on their way"):
        CUDABackend(1, 1).matrix(np.zeros(16 * 512, np.uint8), format_named("F16").type_id, 16, 256)
