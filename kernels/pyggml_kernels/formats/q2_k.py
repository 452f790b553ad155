"""Q2_K: 256 weights in 16 groups of 16; 4-bit scales and minimums under two halves (2.625 bits a weight)."""

import numpy as np

from pyggml_kernels.formats.format import LevelFormat
from pyggml_kernels.formats.quantize_q2_k import quantize_q2_k
from pyggml_kernels.formats.words import bits, load_word, store_products, store_word
from pyggml_kernels.jit import kernel
from pyggml_kernels.memory import load_half, u8
from pyggml_kernels.tiles.layout import TileLayout
from pyggml_kernels.tiles.packing import Packing

LAYOUT = np.dtype([("scales", np.uint8, 16), ("qs", np.uint8, 64), ("d", np.float16), ("dmin", np.float16)])
BLOCK_BYTES = LAYOUT.itemsize


@kernel
def decode_q2_k(source: int, n_blocks: int, levels: int, scales: int, minimums: int) -> None:
    """Levels 0..3; bytes 0-31 hold weights 0-127, 32 at each pair of bits, the lowest first; bytes 32-63 the others."""
    for index in range(n_blocks):
        start, out = source + index * BLOCK_BYTES, levels + index * 256
        block = u8(start, BLOCK_BYTES)
        d, dmin = load_half(block, 80), load_half(block, 82)
        for i in range(0, 16, 8):
            both = load_word(start + i)
            store_products(scales + (index * 16 + i) * 4, d, bits(both, 0, 15))
            store_products(minimums + (index * 16 + i) * 4, dmin, bits(both, 4, 15))
        for half in range(2):
            for i in range(0, 32, 8):
                codes = load_word(start + 16 + half * 32 + i)
                for pair in range(4):
                    store_word(out + half * 128 + pair * 32 + i, bits(codes, 2 * pair, 3))


@kernel
def split_q2_k(source: int, n_blocks: int, scales: int, minimums: int) -> None:
    """The 4-bit scales and minimums: see `Packing.split`."""
    for index in range(n_blocks):
        for i in range(0, 16, 8):
            both = load_word(source + index * BLOCK_BYTES + i)
            store_word(scales + index * 16 + i, bits(both, 0, 15))
            store_word(minimums + index * 16 + i, bits(both, 4, 15))


Q2_K = LevelFormat(
    *("Q2_K", 10, LAYOUT, 256, "Q8_K"),
    group_size=16,
    has_minimum=True,
    decode=decode_q2_k,
    packing=Packing(
        TileLayout(2, 16, integer_scales=True, has_minimum=True, shared_bytes=True),
        0,
        split_q2_k,
        minimum_field="dmin",
    ),
    quantizer=quantize_q2_k,
)
