"""Q8_K, a format of activations: 256 numbers as signed bytes, a float scale and sums of 16 (9.125 bits a number)."""

import numpy as np

from pyggml_kernels.formats.format import LevelFormat
from pyggml_kernels.formats.words import field, load_word, store_word
from pyggml_kernels.jit import kernel
from pyggml_kernels.memory import bits_float, f32

LAYOUT = np.dtype([("d", np.float32), ("qs", np.int8, 256), ("bsums", np.int16, 16)])
BLOCK_BYTES = LAYOUT.itemsize


@kernel
def decode_q8_k(source: int, n_blocks: int, levels: int, scales: int, minimums: int) -> None:
    """Level q, scale d; the sums are there for products with formats that have minimums."""
    scale, minimum = f32(scales, n_blocks * 8), f32(minimums, n_blocks * 8)
    for index in range(n_blocks):
        start, out = source + index * BLOCK_BYTES, levels + index * 256
        d = bits_float(np.uint32(field(load_word(start), 0, 32)))
        for group in range(8):
            scale[index * 8 + group] = d
            minimum[index * 8 + group] = 0
        for i in range(0, 256, 8):
            store_word(out + i, load_word(start + 4 + i))


Q8_K = LevelFormat("Q8_K", 15, LAYOUT, 256, "F32", group_size=32, has_minimum=False, decode=decode_q8_k)
