"""IQ3_S: 256 weights, runs of 4 from a book of 512, and signs; 4-bit scales of 32 (3.4375 bits a weight)."""

import numpy as np

from pyggml_kernels.formats.book_format import BookFormat
from pyggml_kernels.formats.iq_grids import IQ3_S_GRID
from pyggml_kernels.formats.quantize_iq3_s import neighbours, quantize_iq3_s
from pyggml_kernels.formats.signs import signed
from pyggml_kernels.formats.words import field, join, load_word, store_word
from pyggml_kernels.jit import kernel
from pyggml_kernels.memory import f32, load_half, u8

LAYOUT = np.dtype(
    [("d", np.float16), ("qs", np.uint8, 64), ("qh", np.uint8, 8), ("signs", np.uint8, 32), ("scales", np.uint8, 4)]
)
BLOCK_BYTES = LAYOUT.itemsize


@kernel
def decode_iq3_s(source: int, n_blocks: int, levels: int, scales: int, minimums: int) -> None:
    """A run has a byte of qs, the low 8 bits of its code, a bit of qh, the ninth, and half a byte of signs.

    The scale of a group is d (2 bits + 1).
    """
    scale, minimum = f32(scales, n_blocks * 8), f32(minimums, n_blocks * 8)
    for index in range(n_blocks):
        start, out = source + index * BLOCK_BYTES, levels + index * 256
        block = u8(start, BLOCK_BYTES)
        d, high, four_bits = load_half(block, 0), load_word(start + 66), load_word(start + 102)
        for group in range(8):
            scale[index * 8 + group] = d * np.float32(2 * field(four_bits, 32 + group * 4, 4) + 1)
            minimum[index * 8 + group] = 0
        for pair in range(32):
            first = IQ3_S_GRID[np.int64(block[2 + pair * 2]) | (field(high, pair * 2, 1) << 8)]
            second = IQ3_S_GRID[np.int64(block[3 + pair * 2]) | (field(high, pair * 2 + 1, 1) << 8)]
            store_word(out + pair * 8, signed(join(first, second), np.int64(block[74 + pair])))


IQ3_S = BookFormat(
    *("IQ3_S", 21, LAYOUT, 256, "Q8_K"),
    group_size=32,
    has_minimum=False,
    decode=decode_iq3_s,
    quantizer=quantize_iq3_s,
    neighbours=neighbours,
)
