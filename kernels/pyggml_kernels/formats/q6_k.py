"""Q6_K: 256 weights in 16 groups of 16; 8-bit scales under one half-precision scale (6.5625 bits a weight)."""

import numpy as np

from pyggml_kernels.formats.format import LevelFormat
from pyggml_kernels.formats.quantize_q6_k import quantize_q6_k
from pyggml_kernels.formats.words import bits, less, load_word, raise_bits, store_products, store_word
from pyggml_kernels.jit import kernel
from pyggml_kernels.memory import load_half, u8
from pyggml_kernels.tiles.layout import TileLayout
from pyggml_kernels.tiles.packing import Packing

LAYOUT = np.dtype([("ql", np.uint8, 128), ("qh", np.uint8, 64), ("scales", np.int8, 16), ("d", np.float16)])
BLOCK_BYTES = LAYOUT.itemsize


@kernel
def decode_q6_k(source: int, n_blocks: int, levels: int, scales: int, minimums: int) -> None:
    """Levels -32..31.

    Of each 128 weights the low four bits are in 64 bytes of ql, the first 64 weights in their low halves; the high two
    bits are in 32 bytes of qh, 32 weights at each pair of bits.
    """
    no_minimum = np.uint64(0)
    for index in range(n_blocks):
        start, out = source + index * BLOCK_BYTES, levels + index * 256
        d = load_half(u8(start, BLOCK_BYTES), 208)
        for i in range(0, 16, 8):
            store_products(scales + (index * 16 + i) * 4, d, load_word(start + 192 + i))
            store_products(minimums + (index * 16 + i) * 4, np.float32(0), no_minimum)
        for half in range(2):
            for i in range(0, 32, 8):
                high = load_word(start + 128 + half * 32 + i)
                for quarter in range(4):
                    low = bits(load_word(start + half * 64 + quarter % 2 * 32 + i), quarter // 2 * 4, 15)
                    level = low | raise_bits(bits(high, 2 * quarter, 3), 4)
                    store_word(out + half * 128 + quarter * 32 + i, less(level, 32))


@kernel
def split_q6_k(source: int, n_blocks: int, scales: int, minimums: int) -> None:
    """The 8-bit scales: see `Packing.split`."""
    for index in range(n_blocks):
        for i in range(0, 16, 8):
            store_word(scales + index * 16 + i, load_word(source + index * BLOCK_BYTES + 192 + i))


Q6_K = LevelFormat(
    *("Q6_K", 14, LAYOUT, 256, "Q8_K"),
    group_size=16,
    has_minimum=False,
    decode=decode_q6_k,
    packing=Packing(TileLayout(6, 16, integer_scales=True, has_minimum=False), 32, split_q6_k),
    quantizer=quantize_q6_k,
)
