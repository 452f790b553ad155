"""Every kernel beside its twin, as benchmarks/cuda checks them on a GPU: the emulator runs them, in small shapes."""

from collections.abc import Iterator

import pytest

pytest.importorskip("cupy", reason="needs CuPy, which the extra [cuda] brings; test_cuda_sources compiles every kernel")

from benchmarks.cuda import kernels
from tests.cuda.emulated_device import EmulatedDevice, Stream

COLUMNS = {256: 512, 32: 320}


@pytest.fixture(autouse=True)
def device(monkeypatch: pytest.MonkeyPatch) -> Iterator[EmulatedDevice]:
    emulated = EmulatedDevice()
    install(emulated, monkeypatch)
    monkeypatch.setattr(kernels, "failures", [])
    yield emulated
    assert not kernels.failures


def install(emulated: EmulatedDevice, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the checks run on an emulated GPU."""
    emulated.install(monkeypatch)
    monkeypatch.setattr(kernels, "cupy", emulated.cupy)
    monkeypatch.setattr(kernels, "Stream", Stream)


def test_forms_of_activations() -> None:
    kernels.check_forms()
    kernels.check_wide_forms()


@pytest.mark.parametrize("name", [*kernels.PACKED, *kernels.OTHERS, *kernels.FLOAT_FORMATS])
def test_products(name: str) -> None:
    kernels.check_product(name, 37, COLUMNS, (1, 5, 20))


@pytest.mark.parametrize("name", ["Q4_K", "Q3_K", "Q8_0", "Q4_1", "F16", "BF16"])
def test_products_on_old_gpus(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    install(EmulatedDevice((7, 5)), monkeypatch)
    kernels.check_product(name, 37, COLUMNS, (1, 5, 20))


def test_norms_and_activations() -> None:
    kernels.check_sources()
