"""Q4_1: 32 weights as 4-bit levels, a half-precision scale and a half-precision offset (5 bits a weight)."""

import numpy as np

from pyggml_kernels.formats.format import LevelFormat
from pyggml_kernels.formats.words import bits, load_word, store_word
from pyggml_kernels.jit import kernel
from pyggml_kernels.memory import f32, load_half, u8

LAYOUT = np.dtype([("d", np.float16), ("m", np.float16), ("qs", np.uint8, 16)])
BLOCK_BYTES = LAYOUT.itemsize


@kernel
def decode_q4_1(source: int, n_blocks: int, levels: int, scales: int, minimums: int) -> None:
    """Levels 0..15, in bytes as in Q4_0; the file's m is added, so the minimum is -m."""
    scale, minimum = f32(scales, n_blocks), f32(minimums, n_blocks)
    for index in range(n_blocks):
        start, out = source + index * BLOCK_BYTES, levels + index * 32
        block = u8(start, BLOCK_BYTES)
        scale[index] = load_half(block, 0)
        minimum[index] = -load_half(block, 2)
        for i in range(0, 16, 8):
            codes = load_word(start + 4 + i)
            store_word(out + i, bits(codes, 0, 15))
            store_word(out + 16 + i, bits(codes, 4, 15))


Q4_1 = LevelFormat("Q4_1", 3, LAYOUT, 32, "Q8_1", group_size=32, has_minimum=True, decode=decode_q4_1)
