"""The list of GPUs, from what a driver says."""

from contextlib import nullcontext

import pytest

pytest.importorskip("cupy", reason="needs CuPy, which the extra [cuda] brings")

import cupy

from pyggml_cuda.listing import GPU, driver_version, gpus

GIB = 1 << 30


def test_what_a_driver_says(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["NVIDIA H200", "Tesla V100"]
    capabilities = [(9, 0), (7, 0)]
    monkeypatch.setattr("cupy.cuda.runtime.getDeviceCount", lambda: 2)
    monkeypatch.setattr(
        "cupy.cuda.runtime.getDeviceProperties",
        lambda i: {"name": names[i].encode(), "major": capabilities[i][0], "minor": capabilities[i][1]},
    )
    monkeypatch.setattr("cupy.cuda.runtime.memGetInfo", lambda: (3 * GIB, 4 * GIB))
    monkeypatch.setattr("cupy.cuda.runtime.driverGetVersion", lambda: 12080)
    monkeypatch.setattr("cupy.cuda.Device", lambda _: nullcontext())
    found = gpus()
    assert found == [GPU(i, names[i], capabilities[i], 3 * GIB, 4 * GIB) for i in range(2)]
    assert [gpu.is_usable for gpu in found] == [True, False]
    assert driver_version() == (12, 8)


def test_no_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> int:
        raise cupy.cuda.runtime.CUDARuntimeError(100)

    monkeypatch.setattr("cupy.cuda.runtime.getDeviceCount", refuse)
    assert gpus() == []
