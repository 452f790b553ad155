"""How Q2_K and Q3_K pack two bits of each level."""

from typing import Any

import numpy as np

from pyggml_kernels.formats.words import bits, load_word, raise_bits, store_word
from pyggml_kernels.jit import device


@device
def pack_two_bits(levels: int, out: int) -> Any:
    """The low two bits of 256 bytes in 64: of each 128 levels, 32 lie at each pair of bits, the first at the lowest."""
    for half in range(2):
        for i in range(0, 32, 8):
            packed = np.uint64(0)
            for pair in range(4):
                packed |= raise_bits(bits(load_word(levels + half * 128 + pair * 32 + i), 0, 3), 2 * pair)
            store_word(out + half * 32 + i, packed)
