"""IQ2_XS: 256 weights, runs of 8 from a book of 512, and signs; 4-bit scales of 16 (2.3125 bits a weight)."""

import numpy as np

from pyggml_kernels.formats.book_format import BookFormat
from pyggml_kernels.formats.iq2_scales import store_scales
from pyggml_kernels.formats.iq_grids import IQ2_XS_GRID
from pyggml_kernels.formats.quantize_iq2_xs import neighbours, quantize_iq2_xs
from pyggml_kernels.formats.signs import even_signs, signed
from pyggml_kernels.formats.words import field, load_word, store_word
from pyggml_kernels.jit import kernel
from pyggml_kernels.memory import load_half, u8

LAYOUT = np.dtype([("d", np.float16), ("qs", "<u2", 32), ("scales", np.uint8, 8)])
BLOCK_BYTES = LAYOUT.itemsize


@kernel
def decode_iq2_xs(source: int, n_blocks: int, levels: int, scales: int, minimums: int) -> None:
    """Of the 16 bits of a run 9 are its code and 7 its signs."""
    for index in range(n_blocks):
        start, out = source + index * BLOCK_BYTES, levels + index * 256
        d = load_half(u8(start, BLOCK_BYTES), 0)
        store_scales(scales + index * 64, minimums + index * 64, d, load_word(start + 66))
        for four in range(8):
            word = load_word(start + 2 + four * 8)
            for run in range(4):
                magnitudes = IQ2_XS_GRID[field(word, run * 16, 9)]
                signs = even_signs(field(word, run * 16 + 9, 7))
                store_word(out + four * 32 + run * 8, signed(magnitudes, signs))


IQ2_XS = BookFormat(
    *("IQ2_XS", 17, LAYOUT, 256, "Q8_K"),
    group_size=16,
    has_minimum=False,
    decode=decode_iq2_xs,
    quantizer=quantize_iq2_xs,
    needs_importance=True,
    neighbours=neighbours,
)
