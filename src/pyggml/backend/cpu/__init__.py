"""The CPU backend: graphs become plans of compiled kernels."""

from pyggml.backend.cpu.backend import CPUBackend
from pyggml.backend.cpu.compilation import on_kernel_compilation

__all__ = ["CPUBackend", "on_kernel_compilation"]
