"""Q8_1, a format of activations: 32 numbers as signed bytes, a half-precision scale and their sum (9 bits a number)."""

import numpy as np

from pyggml_kernels.formats.format import LevelFormat
from pyggml_kernels.formats.words import load_word, store_word
from pyggml_kernels.jit import kernel
from pyggml_kernels.memory import f32, load_half, u8

LAYOUT = np.dtype([("d", np.float16), ("s", np.float16), ("qs", np.int8, 32)])
BLOCK_BYTES = LAYOUT.itemsize


@kernel
def decode_q8_1(source: int, n_blocks: int, levels: int, scales: int, minimums: int) -> None:
    """A block is a group: level q, scale d; the sum is there for products with formats that have minimums."""
    scale, minimum = f32(scales, n_blocks), f32(minimums, n_blocks)
    for index in range(n_blocks):
        start, out = source + index * BLOCK_BYTES, levels + index * 32
        scale[index] = load_half(u8(start, BLOCK_BYTES), 0)
        minimum[index] = 0
        for i in range(0, 32, 8):
            store_word(out + i, load_word(start + 4 + i))


Q8_1 = LevelFormat("Q8_1", 9, LAYOUT, 32, "Q8_1", group_size=32, has_minimum=False, decode=decode_q8_1)
