"""The uneven levels of IQ4_NL and IQ4_XS: a 4-bit code is an index into a table of 16 signed bytes."""

from typing import Any

import numpy as np

from pyggml_kernels.jit import device

LEVELS = np.array([-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113], np.int8)

#: What is added to the levels in tiles, so that none is negative, and the levels then.
TILE_TABLE_OFFSET = 128
TILE_TABLE = tuple(int(level) + TILE_TABLE_OFFSET for level in LEVELS)

# One look-up gives the levels of two codes: the low byte of entry i has that of i % 16, the high one that of i // 16.
_PAIRS = np.stack([np.tile(LEVELS, 16), np.repeat(LEVELS, 16)], axis=-1).view("<u2").reshape(256)
_INDICES = np.uint64(0x00FF00FF00FF00FF)
_INDEX = np.uint64(0xFF)


@device
def look_up(codes: Any) -> Any:
    """The levels of eight codes, each in the low half of a byte of a word whose high halves are zero."""
    pairs = (codes | (codes >> np.uint64(4))) & _INDICES
    levels = np.uint64(0)
    for i in range(0, 64, 16):
        levels |= np.uint64(_PAIRS[(pairs >> np.uint64(i)) & _INDEX]) << np.uint64(i)
    return levels
