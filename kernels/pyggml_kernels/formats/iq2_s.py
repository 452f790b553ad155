"""IQ2_S: 256 weights, runs of 8 from a book of 1024, and signs; 4-bit scales of 16 (2.5625 bits a weight)."""

import numpy as np

from pyggml_kernels.formats.book_format import BookFormat
from pyggml_kernels.formats.iq2_scales import store_scales
from pyggml_kernels.formats.iq_grids import IQ2_S_GRID
from pyggml_kernels.formats.quantize_iq2_s import neighbours, quantize_iq2_s
from pyggml_kernels.formats.signs import signed
from pyggml_kernels.formats.words import field, load_word, store_word
from pyggml_kernels.jit import kernel
from pyggml_kernels.memory import load_half, u8

LAYOUT = np.dtype(
    [("d", np.float16), ("qs", np.uint8, 32), ("signs", np.uint8, 32), ("qh", np.uint8, 8), ("scales", np.uint8, 8)]
)
BLOCK_BYTES = LAYOUT.itemsize


@kernel
def decode_iq2_s(source: int, n_blocks: int, levels: int, scales: int, minimums: int) -> None:
    """A run has a byte of qs, the low 8 bits of its code, two bits of qh, the high ones, and a byte of signs."""
    for index in range(n_blocks):
        start, out = source + index * BLOCK_BYTES, levels + index * 256
        block = u8(start, BLOCK_BYTES)
        store_scales(scales + index * 64, minimums + index * 64, load_half(block, 0), load_word(start + 74))
        high = load_word(start + 66)
        for run in range(32):
            code = np.int64(block[2 + run]) | (field(high, run * 2, 2) << 8)
            store_word(out + run * 8, signed(IQ2_S_GRID[code], np.int64(block[34 + run])))


IQ2_S = BookFormat(
    *("IQ2_S", 22, LAYOUT, 256, "Q8_K"),
    group_size=16,
    has_minimum=False,
    decode=decode_iq2_s,
    quantizer=quantize_iq2_s,
    neighbours=neighbours,
)
