"""Float32 arithmetic as processors with fused multiply-adds do it, in NumPy."""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]


def fused(left: Floats, right: Floats, addend: Floats) -> Floats:
    """Compute left * right + addend, rounded once.

    The product is exact in double precision. The sum is rounded to odd there, after which rounding to float32 gives
    what rounding at once would (Boldo and Melquiond, "Emulation of FMA and correctly rounded sums", 2008).
    """
    product, other = left.astype(np.float64) * right.astype(np.float64), addend.astype(np.float64)
    total = product + other
    moved = total - product
    error = (product - (total - moved)) + (other - moved)
    even = (total.view(np.int64) & 1) == 0
    inexact = np.isfinite(total) & (error != 0)
    odd = np.nextafter(total, np.copysign(np.inf, error))
    return np.where(inexact & even, odd, total).astype(np.float32)
