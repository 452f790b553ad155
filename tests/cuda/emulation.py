"""Kernels as the compiler makes them, run by the emulator of reference/pyggml_reference/ptx."""

from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from pyggml_cuda.launch import KernelName, Launch
from pyggml_cuda.sources import program
from pyggml_reference.ptx import DeviceMemory, Program, launch
from pyggml_reference.ptx.threads import Grid
from tests.cuda.nvrtc import compile_to_ptx

#: Bytes of the device's memory.
_MEMORY = 1 << 28


@cache
def _compiled(kernel: KernelName, architecture: str) -> tuple[Program, str]:
    text, name = compile_to_ptx(program(kernel.file, kernel.headers), kernel.file, kernel.expression, architecture)
    return Program(text), name


class Emulator:
    """Memory, and launches."""

    def __init__(self, n_bytes: int = _MEMORY, architecture: str = "90") -> None:
        self._architecture = architecture
        self.memory = DeviceMemory(n_bytes)
        self.n_launches = 0

    def run(self, launched: Launch) -> None:
        """Run a launch to its end."""
        compiled, name = _compiled(launched.kernel, launched.kernel.architecture or self._architecture)
        self.n_launches += 1
        grid = Grid(launched.grid, launched.block, launched.shared_bytes)
        offsets = list(compiled.kernels[name].parameters.values())
        parameters = bytearray(compiled.kernels[name].parameter_bytes)
        for offset, argument in zip(offsets, launched.arguments, strict=True):
            data = argument.tobytes()
            parameters[offset : offset + len(data)] = data
        launch(compiled, name, grid, bytes(parameters), self.memory)

    def allocate(self, n_bytes: int) -> int:
        """The address of memory that holds garbage."""
        return self.memory.allocate(n_bytes)

    def put(self, array: npt.NDArray[Any]) -> int:
        """The address of a copy of an array."""
        data = np.ascontiguousarray(array).view(np.uint8).reshape(-1) if array.size else np.zeros(0, np.uint8)
        address = self.allocate(data.size)
        if data.size:
            self.memory.bytes_at(address, data.size)[:] = data
        return address

    def get(self, address: int, dtype: Any, shape: tuple[int, ...]) -> npt.NDArray[Any]:
        """A copy of an array in the device's memory."""
        n_bytes = int(np.prod(shape)) * np.dtype(dtype).itemsize
        found: npt.NDArray[Any] = self.memory.bytes_at(address, n_bytes).view(dtype).reshape(shape).copy()
        return found
