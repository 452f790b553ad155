"""IQ2_XXS: 256 weights, runs of 8 from a book of 256, and signs; 4-bit scales of 32 (2.0625 bits a weight)."""

import numpy as np

from pyggml_kernels.formats.book_format import BookFormat
from pyggml_kernels.formats.iq_grids import IQ2_XXS_GRID
from pyggml_kernels.formats.quantize_iq2_xxs import neighbours, quantize_iq2_xxs
from pyggml_kernels.formats.signs import even_signs, signed
from pyggml_kernels.formats.words import field, load_word, store_word
from pyggml_kernels.jit import kernel
from pyggml_kernels.memory import f32, load_half, u8

LAYOUT = np.dtype([("d", np.float16), ("qs", "<u2", 32)])
BLOCK_BYTES = LAYOUT.itemsize


@kernel
def decode_iq2_xxs(source: int, n_blocks: int, levels: int, scales: int, minimums: int) -> None:
    """Of a group's 64 bits 32 are the codes of its runs, 28 their signs, 4 its scale, which is d (bits + 1/2) / 4."""
    scale, minimum = f32(scales, n_blocks * 8), f32(minimums, n_blocks * 8)
    for index in range(n_blocks):
        start, out = source + index * BLOCK_BYTES, levels + index * 256
        d = load_half(u8(start, BLOCK_BYTES), 0)
        for group in range(8):
            word = load_word(start + 2 + group * 8)
            scale[index * 8 + group] = d * (np.float32(field(word, 60, 4)) + np.float32(0.5)) * np.float32(0.25)
            minimum[index * 8 + group] = 0
            for run in range(4):
                magnitudes = IQ2_XXS_GRID[field(word, run * 8, 8)]
                signs = even_signs(field(word, 32 + run * 7, 7))
                store_word(out + group * 32 + run * 8, signed(magnitudes, signs))


IQ2_XXS = BookFormat(
    *("IQ2_XXS", 16, LAYOUT, 256, "Q8_K"),
    group_size=32,
    has_minimum=False,
    decode=decode_iq2_xxs,
    quantizer=quantize_iq2_xxs,
    needs_importance=True,
    neighbours=neighbours,
)
