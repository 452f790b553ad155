"""Where layers go: on the GPU when all are asked for and there is one, otherwise on the CPU with a warning."""

import sys
import warnings
from collections.abc import Mapping
from dataclasses import replace
from types import ModuleType
from typing import Any

import pytest

from pyggml.backend.cpu import CPUBackend
from pyggml.placement import place
from pyggml_kernels.formats import FORMATS, Format

N_LAYERS = 4


class FakeBackend:
    def __init__(self, n_batch: int, n_sequences: int) -> None:
        self.arguments = n_batch, n_sequences


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A GPU that is there; `unavailable` says otherwise where a test sets it."""
    device: Any = ModuleType("pyggml_cuda.device")
    device.unavailable = lambda: None
    backend: Any = ModuleType("pyggml.backend.cuda")
    backend.CUDABackend = FakeBackend
    monkeypatch.setitem(sys.modules, "pyggml_cuda.device", device)
    monkeypatch.setitem(sys.modules, "pyggml.backend.cuda", backend)
    return device


def placed(n_gpu_layers: int, formats: Mapping[int, Format] = FORMATS) -> Any:
    return place(n_gpu_layers, N_LAYERS, formats=formats, n_threads=2, n_batch=3, n_sequences=1)


@pytest.mark.parametrize("n", [N_LAYERS + 1, 99, -1])
def test_all_layers_go_to_the_gpu(gpu: Any, n: int) -> None:
    placement = placed(n)
    assert isinstance(placement.backend, FakeBackend)
    assert (placement.backend.arguments, placement.n_threads) == ((3, 1), 1)


def test_no_layers_stay_on_the_cpu_without_a_word(gpu: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        placement = placed(0)
    assert isinstance(placement.backend, CPUBackend)
    assert placement.n_threads == 2


@pytest.mark.parametrize("n", [1, N_LAYERS])
def test_some_layers_are_not_split_off_yet(gpu: Any, n: int) -> None:
    with pytest.warns(
        RuntimeWarning, match=f"none on a GPU: {n} of 5 layers were asked for, and only all can go there"
    ):
        assert isinstance(placed(n).backend, CPUBackend)


def test_formats_of_ones_own_stay_on_the_cpu(gpu: Any) -> None:
    own = replace(FORMATS[2], name="NF4", type_id=0x70000001)
    with pytest.warns(RuntimeWarning, match=r"none on a GPU: formats of one's own \(NF4\) are for the CPU"):
        assert isinstance(placed(99, {**FORMATS, own.type_id: own}).backend, CPUBackend)


def test_no_driver(gpu: Any) -> None:
    gpu.unavailable = lambda: "the CUDA driver finds no GPU"
    with pytest.warns(RuntimeWarning, match="all layers run on the CPU, none on a GPU: the CUDA driver finds no GPU"):
        assert isinstance(placed(99).backend, CPUBackend)


def test_no_cupy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyggml_cuda.device", None)
    with pytest.warns(RuntimeWarning, match=r"CuPy cannot be imported \(.*\); pip install 'pyggml\[cuda\]'"):
        assert isinstance(placed(99).backend, CPUBackend)
