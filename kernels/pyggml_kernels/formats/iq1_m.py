"""IQ1_M: 256 weights, runs of 8 from a book of 2048, each shifted; 3-bit scales of 16 (1.75 bits a weight)."""

from typing import Any

import numpy as np

from pyggml_kernels.formats.book_format import BookFormat
from pyggml_kernels.formats.iq1_book import neighbours
from pyggml_kernels.formats.iq1_levels import EIGHTH, eight_levels
from pyggml_kernels.formats.quantize_iq1_m import quantize_iq1_m
from pyggml_kernels.formats.words import field, load_word, store_word
from pyggml_kernels.jit import device, kernel
from pyggml_kernels.memory import f32, half_to_float, u8

LAYOUT = np.dtype([("qs", np.uint8, 32), ("qh", np.uint8, 16), ("scales", "<u2", 4)])
BLOCK_BYTES = LAYOUT.itemsize


@device
def block_scale(word: Any) -> Any:
    """The half-precision scale of a block, four bits of it on top of each 16."""
    code = field(word, 12, 4) | field(word, 28, 4) << 4 | field(word, 44, 4) << 8 | field(word, 60, 4) << 12
    return half_to_float(np.uint16(code))


@kernel
def decode_iq1_m(source: int, n_blocks: int, levels: int, scales: int, minimums: int) -> None:
    """A run has a byte of qs, the low 8 bits of its code, and half a byte of qh: three more, and the sign of its shift.

    The scale of a group is d (2 bits + 1); each 16 bits of scales hold four, below the bits of d.
    """
    scale, minimum = f32(scales, n_blocks * 16), f32(minimums, n_blocks * 16)
    for index in range(n_blocks):
        start, out = source + index * BLOCK_BYTES, levels + index * 256
        block, word = u8(start, BLOCK_BYTES), load_word(start + 48)
        d = block_scale(word)
        for group in range(16):
            three_bits = field(word, group // 4 * 16 + group % 4 * 3, 3)
            scale[index * 16 + group] = d * np.float32(2 * three_bits + 1) * EIGHTH
            minimum[index * 16 + group] = 0
        for run in range(32):
            high = (np.int64(block[32 + run // 2]) >> (run % 2 * 4)) & 15
            code = np.int64(block[run]) | (high & 7) << 8
            store_word(out + run * 8, eight_levels(code, high >> 3))


IQ1_M = BookFormat(
    *("IQ1_M", 29, LAYOUT, 256, "Q8_K"),
    group_size=16,
    has_minimum=False,
    decode=decode_iq1_m,
    quantizer=quantize_iq1_m,
    neighbours=neighbours,
)
