"""Signs kept apart from magnitudes, and the seven bits that the IQ formats pack eight signs into."""

from typing import Any

import numpy as np

from pyggml_kernels.formats.words import raise_bits, spread
from pyggml_kernels.jit import device

_LOWEST = np.int64(1)


@device
def negate(magnitudes: Any, flags: Any) -> Any:
    """Each byte, at most 127, with its sign turned if the same byte of `flags` is 1 and not 0."""
    # 127 - x, 128 - x, and the top bit turned: no step carries into the next byte, even where x is zero.
    inverted = magnitudes ^ (raise_bits(flags, 7) - flags)
    return (inverted + flags) ^ raise_bits(flags, 7)


@device
def signed(magnitudes: Any, signs: Any) -> Any:
    """Eight magnitudes, negative where the bit of `signs` is set; the lowest bit is that of the lowest byte."""
    return negate(magnitudes, spread(np.uint64(signs), 0))


@device
def even_signs(seven: Any) -> Any:
    """Eight signs of which an even number are minus: the first seven, and the eighth that makes it even."""
    folded = seven ^ (seven >> 4)
    folded ^= folded >> 2
    folded ^= folded >> 1
    return seven | ((folded & _LOWEST) << 7)
