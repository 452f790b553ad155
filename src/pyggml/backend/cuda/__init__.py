"""The CUDA backend: graphs become CUDA graphs of kernel launches. Importing it needs CuPy."""

from pyggml.backend.cuda.backend import CUDABackend
from pyggml.backend.cuda.streaming import StreamingGPU

__all__ = ["CUDABackend", "StreamingGPU"]
