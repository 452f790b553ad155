"""A GPU that seems to be there, so that layers can be placed on it."""

import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest


def install_gpu(monkeypatch: pytest.MonkeyPatch, backend: Callable[[int, int], Any]) -> Any:
    """Have `backend` made for the GPU; gives what stands for `pyggml_cuda.device`, 100 GiB of memory free."""
    device: Any = ModuleType("pyggml_cuda.device")
    device.unavailable = lambda: None
    device.free_bytes = lambda: 100 << 30
    cuda: Any = ModuleType("pyggml.backend.cuda")
    cuda.CUDABackend = backend
    monkeypatch.setitem(sys.modules, "pyggml_cuda.device", device)
    monkeypatch.setitem(sys.modules, "pyggml.backend.cuda", cuda)
    return device
