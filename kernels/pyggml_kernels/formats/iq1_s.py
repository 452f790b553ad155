"""IQ1_S: 256 weights, runs of 8 from a book of 2048; a 3-bit scale and a shift for each 32 (1.5625 bits a weight)."""

import numpy as np

from pyggml_kernels.formats.book_format import BookFormat
from pyggml_kernels.formats.iq1_book import neighbours
from pyggml_kernels.formats.iq1_levels import EIGHTH, eight_levels
from pyggml_kernels.formats.quantize_iq1_s import quantize_iq1_s
from pyggml_kernels.formats.words import field, load_word, store_word
from pyggml_kernels.jit import kernel
from pyggml_kernels.memory import f32, load_half, u8

LAYOUT = np.dtype([("d", np.float16), ("qs", np.uint8, 32), ("qh", "<u2", 8)])
BLOCK_BYTES = LAYOUT.itemsize


@kernel
def decode_iq1_s(source: int, n_blocks: int, levels: int, scales: int, minimums: int) -> None:
    """A run has a byte of qs, the low 8 bits of its code; a group has 16 bits of qh.

    Those are three high bits for each of four codes, the scale, which is d (2 bits + 1), and the sign of the shift.
    """
    scale, minimum = f32(scales, n_blocks * 8), f32(minimums, n_blocks * 8)
    for index in range(n_blocks):
        start, out = source + index * BLOCK_BYTES, levels + index * 256
        block = u8(start, BLOCK_BYTES)
        d = load_half(block, 0)
        for group in range(8):
            # The six bytes before the group's own two: so the last group's load ends with the block.
            word = load_word(start + 28 + group * 2)
            scale[index * 8 + group] = d * np.float32(2 * field(word, 60, 3) + 1) * EIGHTH
            minimum[index * 8 + group] = 0
            is_less = field(word, 63, 1)
            for run in range(4):
                code = np.int64(block[2 + group * 4 + run]) | (field(word, 48 + run * 3, 3) << 8)
                store_word(out + group * 32 + run * 8, eight_levels(code, is_less))


IQ1_S = BookFormat(
    *("IQ1_S", 19, LAYOUT, 256, "Q8_K"),
    group_size=32,
    has_minimum=False,
    decode=decode_iq1_s,
    quantizer=quantize_iq1_s,
    needs_importance=True,
    neighbours=neighbours,
)
