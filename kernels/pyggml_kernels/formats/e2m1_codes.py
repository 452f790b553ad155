"""Numbers rounded to E2M1, the 4-bit float of MXFP4 and NVFP4."""

from typing import Any

import numpy as np

from pyggml_kernels.formats.lanes import magnitude, select, zeros
from pyggml_kernels.jit import device

#: Twice the numbers of codes 0 to 7; codes 8 to 15 are their negatives.
_DOUBLED = np.array([0, 1, 2, 3, 4, 6, 8, 12], np.float32)


@device
def nearest_codes(x: Any, half_scale: Any) -> Any:
    """The codes, as floats, whose doubled numbers times `half_scale` are nearest to x; of two, the lower code.

    All are tried, as in ggml: rounding of the products and differences can make ties.
    """
    best, least = zeros(x), magnitude(x)
    for sign in range(2):
        for i in range(1, 8):
            number = _DOUBLED[i] * half_scale
            error = magnitude((-number if sign else number) - x)
            better = error < least
            best = select(better, np.float32(8 * sign + i), best)
            least = select(better, error, least)
    return best
