"""IQ3_XXS: 256 weights, runs of 4 from a book of 256, and signs; 4-bit scales of 32 (3.0625 bits a weight)."""

import numpy as np

from pyggml_kernels.formats.book_format import BookFormat
from pyggml_kernels.formats.iq_grids import IQ3_XXS_GRID
from pyggml_kernels.formats.quantize_iq3_xxs import neighbours, quantize_iq3_xxs
from pyggml_kernels.formats.signs import even_signs, signed
from pyggml_kernels.formats.words import field, join, load_word, store_word
from pyggml_kernels.jit import kernel
from pyggml_kernels.memory import f32, load_half, u8

LAYOUT = np.dtype([("d", np.float16), ("qs", np.uint8, 64), ("scales_and_signs", "<u4", 8)])
BLOCK_BYTES = LAYOUT.itemsize


@kernel
def decode_iq3_xxs(source: int, n_blocks: int, levels: int, scales: int, minimums: int) -> None:
    """A group has a byte of qs for each of its runs, 28 bits of signs, 4 of its scale, which is d (bits + 1/2) / 2."""
    scale, minimum = f32(scales, n_blocks * 8), f32(minimums, n_blocks * 8)
    for index in range(n_blocks):
        start, out = source + index * BLOCK_BYTES, levels + index * 256
        d = load_half(u8(start, BLOCK_BYTES), 0)
        for group in range(8):
            codes = load_word(start + 2 + group * 8)
            # The four bytes before the group's own: so the last group's load ends with the block.
            word = load_word(start + 62 + group * 4)
            scale[index * 8 + group] = d * (np.float32(field(word, 60, 4)) + np.float32(0.5)) * np.float32(0.5)
            minimum[index * 8 + group] = 0
            for pair in range(4):
                first = IQ3_XXS_GRID[field(codes, pair * 16, 8)]
                second = IQ3_XXS_GRID[field(codes, pair * 16 + 8, 8)]
                signs = even_signs(field(word, 32 + pair * 7, 7))
                store_word(out + group * 32 + pair * 8, signed(join(first, second), signs))


IQ3_XXS = BookFormat(
    *("IQ3_XXS", 18, LAYOUT, 256, "Q8_K"),
    group_size=32,
    has_minimum=False,
    decode=decode_iq3_xxs,
    quantizer=quantize_iq3_xxs,
    neighbours=neighbours,
)
