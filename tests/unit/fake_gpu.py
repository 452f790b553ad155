"""A GPU that seems to be there, so that layers can be placed on it."""

import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest


def install_gpu(monkeypatch: pytest.MonkeyPatch, backend: Callable[[int, int, int], Any], n_gpus: int = 1) -> Any:
    """Have `backend` made for each GPU, with 100 GiB of memory free; gives what stands for `pyggml_cuda.device`."""
    device: Any = ModuleType("pyggml_cuda.device")
    device.unavailable = lambda: None
    device.usable = lambda: list(range(n_gpus))
    device.free_bytes = lambda number: 100 << 30
    cuda: Any = ModuleType("pyggml.backend.cuda")
    cuda.CUDABackend = backend
    monkeypatch.setattr("pyggml_cuda.driver.is_installed", lambda: True)
    monkeypatch.setitem(sys.modules, "pyggml_cuda.device", device)
    monkeypatch.setitem(sys.modules, "pyggml.backend.cuda", cuda)
    return device
