"""The kernels of a format of one's own: loops over blocks around the two functions that its author writes.

Each is a copy of a function below, with the names in capital letters meaning what they do in that format.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from pyggml_kernels.formats.own_functions import compiled, fingerprint, with_globals
from pyggml_kernels.formats.own_record import record_at
from pyggml_kernels.formats.quantize_floats import N_ARGUMENTS
from pyggml_kernels.jit import Kernel
from pyggml_kernels.memory import f32, i64, u8

BlockFunction = Callable[..., None]

# Overridden in every copy.
BLOCK_SIZE, BLOCK_BYTES = 1, 1
BLOCK_AT: Any = None
FUNCTION: Any = None


def _load_blocks(source: int, n: int, out: int) -> None:
    """Decode blocks of `n` weights in all; those of a block that cannot be decoded are not numbers."""
    for index in range(n // BLOCK_SIZE):
        weights = f32(out + index * BLOCK_SIZE * 4, BLOCK_SIZE)
        try:
            FUNCTION(BLOCK_AT(source + index * BLOCK_BYTES), weights)
        except Exception:  # noqa: BLE001  # Numba knows no other
            weights[:] = np.float32(np.nan)


def _quantize_blocks(arguments: int, chunk: int, worker: int) -> None:
    """Rows of weights to blocks: see `Format._quantizer`. Argument 7 becomes 1 + the index of a block that failed."""
    a = i64(arguments, N_ARGUMENTS)
    n_blocks = a[2] // BLOCK_SIZE
    # Copies, so that the author's function may change them.
    weights, importance = np.empty(BLOCK_SIZE, np.float32), np.empty(BLOCK_SIZE, np.float32)
    for row in range(chunk * a[6], min(a[1], (chunk + 1) * a[6])):
        for index in range(n_blocks):
            out = a[3] + row * a[4] + index * BLOCK_BYTES
            u8(out, BLOCK_BYTES)[:] = 0
            weights[:] = f32(a[0] + (row * a[2] + index * BLOCK_SIZE) * 4, BLOCK_SIZE)
            importance[:] = 1
            if a[5]:
                importance[:] = f32(a[5] + index * BLOCK_SIZE * 4, BLOCK_SIZE)
            try:
                FUNCTION(weights, importance, BLOCK_AT(out))
            except Exception:  # noqa: BLE001  # Numba knows no other
                if not a[7]:
                    a[7] = 1 + row * n_blocks + index


def own_kernels(
    name: str, layout: np.dtype[np.void], block_size: int, quantize: BlockFunction, dequantize: BlockFunction
) -> tuple[Kernel, Kernel]:
    """`load` of a `FloatFormat` and the quantizer of a format, both cached under a hash of their author's functions."""
    common = {"BLOCK_SIZE": block_size, "BLOCK_BYTES": layout.itemsize, "BLOCK_AT": record_at(layout)}

    def kernel(verb: str, function: BlockFunction, template: BlockFunction) -> Kernel:
        key = fingerprint(name, layout.descr, block_size, function)
        copy = with_globals(template, f"{verb}_{name.lower()}_{key}", **common, FUNCTION=compiled(function, key))
        return Kernel(copy, f"own-{key}")

    return kernel("load", dequantize, _load_blocks), kernel("quantize", quantize, _quantize_blocks)
