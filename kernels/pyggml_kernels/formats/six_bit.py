"""The 12 bytes that Q4_K and Q5_K pack their 8 scales and 8 minimums of 6 bits into."""

from typing import Any

import numpy as np

from pyggml_kernels.formats.words import bits, join, load_word, raise_bits, upper
from pyggml_kernels.jit import device

_LOW_HALF, _FOUR, _SIX = np.uint8(15), np.uint8(4), np.uint8(6)


@device
def scales_and_minimums(address: int) -> Any:
    """The 8 scales and the 8 minimums, a byte each, as two words.

    Bytes 0-3 and 4-7 hold the scales and the minimums of groups 0-3 in their low 6 bits; of groups 4-7 the low 4 bits
    are in the halves of bytes 8-11, the high 2 bits on top of bytes 0-3 and 4-7.
    """
    first, last = load_word(address), upper(load_word(address + 4))
    whole, high = bits(first, 0, 63), raise_bits(bits(first, 6, 3), 4)
    scales = join(whole, bits(last, 0, 15) | high)
    minimums = join(upper(whole), bits(last, 4, 15) | upper(high))
    return scales, minimums


@device
def pack_scales_and_minimums(out: Any, scales: Any, minimums: Any) -> None:
    """Write 8 scales and 8 minimums to the 12 bytes. One above 63 spills into another's high bits, as in ggml."""
    for group in range(4):
        later_scale, later_minimum = scales[group + 4], minimums[group + 4]
        out[group] = scales[group] | (later_scale >> _FOUR) << _SIX
        out[group + 4] = minimums[group] | (later_minimum >> _FOUR) << _SIX
        out[group + 8] = (later_scale & _LOW_HALF) | (later_minimum & _LOW_HALF) << _FOUR
