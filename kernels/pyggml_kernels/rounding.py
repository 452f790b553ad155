"""Arithmetic whose rounding is part of the numbers to be equal to."""

from typing import Any

from numba import types

from pyggml_kernels.jit import intrinsic


@intrinsic
def multiply_add(typing_context: Any, x: Any, y: Any, z: Any) -> Any:
    """x * y + z of three floats, rounded once."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.fma(*arguments)

    return types.float32(types.float32, types.float32, types.float32), generate
