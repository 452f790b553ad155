"""Every kernel beside its twin, as benchmarks/cuda checks them on a GPU: the emulator runs them, in small shapes."""

from typing import Any

import pytest

pytest.importorskip("cupy", reason="needs CuPy, which the extra [cuda] brings; test_cuda_sources compiles every kernel")

from benchmarks.cuda import kernels
from tests.cuda.emulated_device import EmulatedDevice, Stream

COLUMNS = {256: 512, 32: 320}


@pytest.fixture(autouse=True)
def _device(monkeypatch: pytest.MonkeyPatch) -> Any:
    device = EmulatedDevice()
    device.install(monkeypatch)
    monkeypatch.setattr(kernels, "cupy", device.cupy)
    monkeypatch.setattr(kernels, "Stream", Stream)
    monkeypatch.setattr(kernels, "failures", [])
    yield
    assert not kernels.failures


def test_forms_of_activations() -> None:
    kernels.check_forms()
    kernels.check_wide_forms()


@pytest.mark.parametrize("name", [*kernels.PACKED, *kernels.OTHERS, *kernels.FLOAT_FORMATS])
def test_products(name: str) -> None:
    kernels.check_product(name, 37, COLUMNS, (1, 5, 20))


def test_norms_and_activations() -> None:
    kernels.check_sources()


@pytest.mark.parametrize(
    "case", [each for each in kernels.ATTENTION if sum(each.lengths) < 400 and sum(each.n_new) < 100], ids=str
)
def test_attention(case: kernels.Case) -> None:
    kernels.check_attention(case)
