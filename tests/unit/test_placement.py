"""Where layers go: the last ones on the GPU, as many as are asked for, if there is one; else on the CPU."""

import sys
import warnings
from collections.abc import Mapping
from dataclasses import replace
from types import ModuleType
from typing import Any

import pytest

from pyggml.backend.cpu import CPUBackend
from pyggml.backend.split import LayerSplit
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
    assert len(placement.layers) == N_LAYERS + 1
    assert placement.layers == (placement.executor,) * (N_LAYERS + 1)
    assert (placement.executor.arguments, placement.n_threads) == ((3, 1), 1)


def test_no_layers_stay_on_the_cpu_without_a_word(gpu: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        placement = placed(0)
    assert isinstance(placement.executor, CPUBackend)
    assert placement.n_threads == 2


@pytest.mark.parametrize("n", range(1, N_LAYERS + 1))
def test_the_last_layers_go_to_the_gpu_the_output_first_of_all(gpu: Any, n: int) -> None:
    placement = placed(n)
    assert isinstance(placement.executor, LayerSplit)
    assert [type(each) for each in placement.layers] == [CPUBackend] * (N_LAYERS + 1 - n) + [FakeBackend] * n
    assert len(set(map(id, placement.layers))) == 2
    assert placement.n_threads == 2


def test_formats_of_ones_own_stay_on_the_cpu(gpu: Any) -> None:
    own = replace(FORMATS[2], name="NF4", type_id=0x70000001)
    with pytest.warns(RuntimeWarning, match=r"none on a GPU: formats of one's own \(NF4\) are for the CPU"):
        assert isinstance(placed(99, {**FORMATS, own.type_id: own}).executor, CPUBackend)


def test_no_driver(gpu: Any) -> None:
    gpu.unavailable = lambda: "the CUDA driver finds no GPU"
    with pytest.warns(RuntimeWarning, match="all layers run on the CPU, none on a GPU: the CUDA driver finds no GPU"):
        assert isinstance(placed(99).executor, CPUBackend)


def test_no_cupy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyggml_cuda.device", None)
    with pytest.warns(RuntimeWarning, match=r"CuPy cannot be imported \(.*\); pip install 'pyggml\[cuda\]'"):
        assert isinstance(placed(99).executor, CPUBackend)
