"""What Arm's Optimized Routines (MIT licence) make powers of two from: 2^(i/32), and a polynomial for what is between.

For whole `scaled` and a remainder of up to 1/2, 2^((scaled + remainder) / 32) is the root of `scaled & 31`, times
2^(scaled >> 5), times the polynomial of remainder / 32: ((c0 x + c1) x + c2) x + 1.
"""

import math

import numpy as np


def _two_to_the_thirty_seconds() -> list[float]:
    """2^(i/32) for i in 0..31, correctly rounded: five nested integer square roots of 2^i with 64 fractional bits."""
    roots = []
    for i in range(32):
        power = 1 << (i + 32 * 64)
        for _ in range(5):
            power = math.isqrt(power)
        roots.append(power / (1 << 64))
    return roots


#: 2^(i/32) for i in 0..31.
ROOTS = _two_to_the_thirty_seconds()
#: Their bits; adding k << 52 multiplies by 2^k.
ROOTS_BITS = np.array(ROOTS).view(np.int64)
#: c0, c1, c2.
EXP2_POLYNOMIAL = tuple(map(float.fromhex, ("0x1.c6af84b912394p-5", "0x1.ebfce50fac4f3p-3", "0x1.62e42ff0c52d6p-1")))
#: By which an exponent of e becomes `scaled`.
THIRTY_TWO_OVER_LN2 = float.fromhex("0x1.71547652b82fep+5")
