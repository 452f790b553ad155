"""News of kernels that are compiled, which happens once on a machine."""

from collections.abc import Callable

from pyggml_kernels.jit import Kernel


def on_kernel_compilation(callback: Callable[[str], None]) -> None:
    """Have `callback` called with the name of each kernel just before it is compiled."""
    Kernel.on_compile = staticmethod(callback)
