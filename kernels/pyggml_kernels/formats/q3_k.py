"""Q3_K: 256 weights in 16 groups of 16; 6-bit scales under one half-precision scale (3.4375 bits a weight)."""

from typing import Any

import numpy as np

from pyggml_kernels.formats.format import LevelFormat
from pyggml_kernels.formats.quantize_q3_k import quantize_q3_k
from pyggml_kernels.formats.words import bits, join, less, load_word, raise_bits, store_products, store_word, upper
from pyggml_kernels.jit import device, kernel
from pyggml_kernels.memory import load_half, u8
from pyggml_kernels.tiles.layout import TileLayout
from pyggml_kernels.tiles.packing import Packing

LAYOUT = np.dtype([("hmask", np.uint8, 32), ("qs", np.uint8, 64), ("scales", np.uint8, 12), ("d", np.float16)])
BLOCK_BYTES = LAYOUT.itemsize


@device
def group_scales(address: int) -> Any:
    """The 16 scales, -32..31, as two words.

    The low 4 bits of scales 0-7 are the low halves of bytes 0-7, those of scales 8-15 the high halves; the high 2 bits
    of scale k are in byte 8 + k % 4, from bit 2 (k // 4) on.
    """
    low, high = load_word(address), upper(load_word(address + 4))
    first = bits(low, 0, 15) | raise_bits(join(bits(high, 0, 3), bits(high, 2, 3)), 4)
    second = bits(low, 4, 15) | raise_bits(join(bits(high, 4, 3), bits(high, 6, 3)), 4)
    return less(first, 32), less(second, 32)


@kernel
def decode_q3_k(source: int, n_blocks: int, levels: int, scales: int, minimums: int) -> None:
    """Levels -4..3; the low 2 bits packed as in Q2_K, the third of weights 32 j to 32 j + 31 is bit j of hmask."""
    no_minimum = np.uint64(0)
    for index in range(n_blocks):
        start, out = source + index * BLOCK_BYTES, levels + index * 256
        d = load_half(u8(start, BLOCK_BYTES), 108)
        first, second = group_scales(start + 96)
        store_products(scales + index * 64, d, first)
        store_products(scales + index * 64 + 32, d, second)
        for i in range(0, 64, 32):
            store_products(minimums + index * 64 + i, np.float32(0), no_minimum)
        for i in range(0, 32, 8):
            thirds = load_word(start + i)
            for half in range(2):
                codes = load_word(start + 32 + half * 32 + i)
                for pair in range(4):
                    third = raise_bits(bits(thirds, half * 4 + pair, 1), 2)
                    store_word(out + half * 128 + pair * 32 + i, less(bits(codes, 2 * pair, 3) | third, 4))


@kernel
def split_q3_k(source: int, n_blocks: int, scales: int, minimums: int) -> None:
    """The 6-bit scales: see `Packing.split`."""
    for index in range(n_blocks):
        first, second = group_scales(source + index * BLOCK_BYTES + 96)
        store_word(scales + index * 16, first)
        store_word(scales + index * 16 + 8, second)


Q3_K = LevelFormat(
    *("Q3_K", 11, LAYOUT, 256, "Q8_K"),
    group_size=16,
    has_minimum=False,
    decode=decode_q3_k,
    packing=Packing(TileLayout(3, 16, integer_scales=True, has_minimum=False), 4, split_q3_k),
    quantizer=quantize_q3_k,
)
