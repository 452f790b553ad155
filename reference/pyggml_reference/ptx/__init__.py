"""CUDA kernels run without a GPU: an emulator of PTX, the code that NVIDIA's compiler makes for all its GPUs.

All threads of some blocks go through a kernel together, each instruction as an operation on arrays. It is there to be
right, and strict where hardware is lenient: an access outside of memory that was allocated, or at an odd address, is an
error, and so is a race for shared memory; copies and products that go on by themselves are over no earlier than they
have been waited for.

Source: PTX ISA 9.0, https://docs.nvidia.com/cuda/parallel-thread-execution/
"""

from pyggml_reference.ptx.machine import launch
from pyggml_reference.ptx.memory import DeviceMemory, EmulationError
from pyggml_reference.ptx.program import Program

__all__ = ["DeviceMemory", "EmulationError", "Program", "launch"]
