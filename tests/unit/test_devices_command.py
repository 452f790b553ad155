"""`pyggml devices`: what is listed, with GPUs and without."""

import sys
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import pytest

from pyggml_kernels.simd.cpu import tier
from pyggml_kernels.threads import available_cores
from tests.unit.cli_running import invoke
from tests.unit.fake_gpu import install_gpu

GIB = 1 << 30


@dataclass(frozen=True)
class FakeGPU:
    number: int
    name: str
    capability: tuple[int, int]
    free_bytes: int
    total_bytes: int
    is_usable: bool = True


def install_listing(monkeypatch: pytest.MonkeyPatch, *gpus: FakeGPU) -> Any:
    listing: Any = ModuleType("pyggml_cuda.listing")
    listing.gpus = lambda: gpus
    listing.driver_version = lambda: (13, 0)
    monkeypatch.setitem(sys.modules, "pyggml_cuda.listing", listing)
    return install_gpu(monkeypatch, lambda *_: None)


def test_gpus_and_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    big = FakeGPU(0, "NVIDIA H200", (9, 0), 139 * GIB + GIB // 2, 140 * GIB)
    old = FakeGPU(1, "Tesla V100", (7, 0), 14 * GIB, 15 * GIB, is_usable=False)
    install_listing(monkeypatch, big, old)
    result = invoke("devices")
    assert result.exit_code == 0
    cpu, *gpus = result.stdout.splitlines()
    assert cpu.startswith("CPU: ")
    assert cpu.endswith(f", {tier()}, {available_cores()} threads")
    assert gpus == [
        "CUDA0: NVIDIA H200, compute capability 9.0, 139.5 of 140.0 GiB free, driver for CUDA 13.0",
        "CUDA1: Tesla V100, compute capability 7.0, too old, 14.0 of 15.0 GiB free, driver for CUDA 13.0",
    ]


def test_no_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    device = install_listing(monkeypatch)
    device.unavailable = lambda: "the CUDA driver is missing or too old (cudaErrorNoDevice)"
    lines = invoke("devices").stdout.splitlines()
    assert lines[1:] == ["no GPU can be used: the CUDA driver is missing or too old (cudaErrorNoDevice)"]


def test_no_driver_library(monkeypatch: pytest.MonkeyPatch) -> None:
    install_listing(monkeypatch, FakeGPU(0, "NVIDIA H200", (9, 0), GIB, GIB))
    monkeypatch.setattr("pyggml_cuda.driver.is_installed", lambda: False)
    lines = invoke("devices").stdout.splitlines()
    reason = "there is no CUDA driver on this machine; NVIDIA's is needed for its GPUs"
    assert lines[1:] == [f"no GPU can be used: {reason}"]


def test_no_cupy(monkeypatch: pytest.MonkeyPatch) -> None:
    install_listing(monkeypatch)
    for name in ("device", "listing"):
        monkeypatch.setitem(sys.modules, f"pyggml_cuda.{name}", None)
    lines = invoke("devices").stdout.splitlines()
    assert len(lines) == 2
    assert lines[1].startswith("no GPU can be used: CuPy cannot be imported (")
    assert lines[1].endswith("); pip install 'pyggml[cuda]'")


def test_instructions_that_the_cpu_has_not_got(monkeypatch: pytest.MonkeyPatch) -> None:
    tier.cache_clear()
    monkeypatch.setenv("PYGGML_SIMD", "mmx")
    try:
        result = invoke("devices")
    finally:
        tier.cache_clear()
    assert result.exit_code == 2
    assert "PYGGML_SIMD is 'mmx'; allowed on this CPU: " in result.stderr
