"""The walk over blocks of formats that are quantized block by block, whatever the importance."""

from typing import Any

from pyggml_kernels.formats.quantize_floats import N_ARGUMENTS
from pyggml_kernels.jit import device
from pyggml_kernels.memory import i64


def blocks_quantizer(block_size: int, block_bytes: int, quantize_block: Any) -> Any:
    """`(arguments, chunk)`: calls `quantize_block(x, out)` for the blocks of a chunk's rows, see `Format._quantizer`.

    A closure, because Numba cannot cache functions that get functions as arguments.
    """

    @device
    def quantize_blocks(arguments: int, chunk: int) -> None:
        a = i64(arguments, N_ARGUMENTS)
        for row in range(chunk * a[6], min(a[1], (chunk + 1) * a[6])):
            x, out = a[0] + row * a[2] * 4, a[3] + row * a[4]
            for _ in range(a[2] // block_size):
                quantize_block(x, out)
                x, out = x + block_size * 4, out + block_bytes

    return quantize_blocks
