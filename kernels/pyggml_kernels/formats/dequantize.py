"""From levels to floats, the same for every format that has levels."""

import numpy as np

from pyggml_kernels.calls import call_decode
from pyggml_kernels.jit import kernel
from pyggml_kernels.memory import f32, i8

#: Weights decoded at a time; a multiple of every block size.
_TILE = 1024
#: The fewest weights in a group.
_SMALLEST_GROUP = 16


@kernel
def dequantize_levels(
    decode: int, source: int, n_blocks: int, block_size: int, group_size: int, block_bytes: int, out: int
) -> None:
    """Decode blocks, a tile of them at a time, and write `scale * level - minimum`."""
    tile = np.empty(_TILE, np.int8)
    scales = np.empty(_TILE // _SMALLEST_GROUP, np.float32)
    minimums = np.empty(_TILE // _SMALLEST_GROUP, np.float32)
    step = _TILE // block_size
    for first in range(0, n_blocks, step):
        n = min(step, n_blocks - first)
        call_decode(decode, source + first * block_bytes, n, tile.ctypes.data, scales.ctypes.data, minimums.ctypes.data)
        for group in range(n * block_size // group_size):
            scale, minimum = scales[group], minimums[group]
            levels = i8(tile.ctypes.data + group * group_size, group_size)
            weights = f32(out + (first * block_size + group * group_size) * 4, group_size)
            for i in range(group_size):
                weights[i] = scale * np.float32(levels[i]) - minimum
