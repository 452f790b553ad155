"""Q5_K: 256 weights in 8 groups of 32; 6-bit scales and minimums under two half-precision ones (5.5 bits a weight)."""

import numpy as np

from pyggml_kernels.formats.format import LevelFormat
from pyggml_kernels.formats.quantize_q5_k import quantize_q5_k
from pyggml_kernels.formats.six_bit import scales_and_minimums
from pyggml_kernels.formats.words import bits, load_word, raise_bits, store_products, store_word
from pyggml_kernels.jit import kernel
from pyggml_kernels.memory import load_half, u8
from pyggml_kernels.tiles.layout import TileLayout
from pyggml_kernels.tiles.packing import Packing

LAYOUT = np.dtype(
    [
        ("d", np.float16),
        ("dmin", np.float16),
        ("scales", np.uint8, 12),
        ("qh", np.uint8, 32),
        ("qs", np.uint8, 128),
    ]
)
BLOCK_BYTES = LAYOUT.itemsize


@kernel
def decode_q5_k(source: int, n_blocks: int, levels: int, scales: int, minimums: int) -> None:
    """Levels 0..31; the low four bits packed as in Q4_K, bit g of byte i of qh is the fifth of weight i of group g."""
    for index in range(n_blocks):
        start, out = source + index * BLOCK_BYTES, levels + index * 256
        block = u8(start, BLOCK_BYTES)
        six_bit_scales, six_bit_minimums = scales_and_minimums(start + 4)
        store_products(scales + index * 32, load_half(block, 0), six_bit_scales)
        store_products(minimums + index * 32, load_half(block, 2), six_bit_minimums)
        for i in range(0, 32, 8):
            fifths = load_word(start + 16 + i)
            for pair in range(4):
                codes = load_word(start + 48 + pair * 32 + i)
                first, second = bits(fifths, 2 * pair, 1), bits(fifths, 2 * pair + 1, 1)
                store_word(out + pair * 64 + i, bits(codes, 0, 15) | raise_bits(first, 4))
                store_word(out + pair * 64 + 32 + i, bits(codes, 4, 15) | raise_bits(second, 4))


@kernel
def split_q5_k(source: int, n_blocks: int, scales: int, minimums: int) -> None:
    """The 6-bit scales and minimums: see `Packing.split`."""
    for index in range(n_blocks):
        six_bit_scales, six_bit_minimums = scales_and_minimums(source + index * BLOCK_BYTES + 4)
        store_word(scales + index * 8, six_bit_scales)
        store_word(minimums + index * 8, six_bit_minimums)


Q5_K = LevelFormat(
    *("Q5_K", 13, LAYOUT, 256, "Q8_K"),
    group_size=32,
    has_minimum=True,
    decode=decode_q5_k,
    packing=Packing(TileLayout(5, 32, integer_scales=True, has_minimum=True), 0, split_q5_k, minimum_field="dmin"),
    quantizer=quantize_q5_k,
)
