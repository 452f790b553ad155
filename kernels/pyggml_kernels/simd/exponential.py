"""The exponential function of vectors, with the same bits on every CPU.

x = n ln 2 + r with an integer n and |r| <= ln 2 / 2; exp(x) = 2^n exp(r). The two parts of ln 2 and the polynomial are
those of `expf` in S. L. Moshier's Cephes mathematical library (1992); here its steps are fused.
"""

from typing import Any

import numpy as np

from pyggml_kernels.jit import device, intrinsic
from pyggml_kernels.rounding import TO_INTEGER
from pyggml_kernels.simd.floats import fused, larger, smaller
from pyggml_kernels.simd.vector import FLOATS, INTEGERS, constant

_LOG2_E = np.float32(1.44269504088896341)
_LN2_HIGH = np.float32(0.693359375)
_LN2_LOW = np.float32(-2.12194440e-4)
#: exp(r) = 1 + r + r^2 times the polynomial of these coefficients, the highest power first.
_C5, _C4, _C3, _C2, _C1, _C0 = (
    np.float32(each)
    for each in (
        1.9875691500e-4,
        1.3981999507e-3,
        8.3334519073e-3,
        4.1665795894e-2,
        1.6666665459e-1,
        5.0000001201e-1,
    )
)
#: Below the lower bound the result is 0, above the upper one infinite.
_LOWEST, _HIGHEST = np.float32(-104), np.float32(89)
_ONE = np.float32(1)

_TO_INTEGER_BITS = int(np.float32(TO_INTEGER).view(np.int32))
_EXPONENT_BIAS, _MANTISSA_BITS = 127, 23


@intrinsic
def _scaled(typing_context: Any, values: Any, shifted: Any) -> Any:
    """values * 2^n, where n lies in the low bits of `shifted`; in two steps, as 2^n alone can be out of range."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = INTEGERS.llvm
        n = builder.sub(builder.bitcast(arguments[1], kind), constant(kind, _TO_INTEGER_BITS))
        half = builder.ashr(n, constant(kind, 1))
        result = arguments[0]
        for exponent in (half, builder.sub(n, half)):
            biased = builder.add(exponent, constant(kind, _EXPONENT_BIAS))
            power = builder.bitcast(builder.shl(biased, constant(kind, _MANTISSA_BITS)), FLOATS.llvm)
            result = builder.fmul(result, power)
        return result

    return FLOATS(FLOATS, FLOATS), generate


@device
def exponential(x: Any) -> Any:
    """exp(x) of 16 floats, off by at most 1.01 units in the last place; NaN stays NaN."""
    bounded = smaller(larger(x, _LOWEST), _HIGHEST)
    shifted = fused(bounded, _LOG2_E, TO_INTEGER)
    n = shifted - TO_INTEGER
    r = fused(n, -_LN2_LOW, fused(n, -_LN2_HIGH, bounded))
    series = fused(fused(fused(fused(fused(_C5, r, _C4), r, _C3), r, _C2), r, _C1), r, _C0)
    return _scaled(fused(r * r, series, r) + _ONE, shifted)
