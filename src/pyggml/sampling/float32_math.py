"""Single-precision functions and sums with the very results of glibc on x86-64, on every platform.

The same seed gives llama.cpp's tokens only if `expf`, `logf`, `log2f` and `powf` agree with its C library to the last
bit; NumPy's float32 functions do not. The methods and constants are those of Arm's Optimized Routines (MIT licence),
which glibc 2.28 and later use: evaluate in double precision from a small table, then round once. glibc lets FMA
instructions contract some products. Over every float that makes one difference, in `exp`: at -63.09946..., where
the result is 1e-28.
"""

import math
import struct

import numpy as np
import numpy.typing as npt

from pyggml_kernels.exp2_table import EXP2_POLYNOMIAL, ROOTS, ROOTS_BITS, THIRTY_TWO_OVER_LN2

Float32Array = npt.NDArray[np.float32]
Float64Array = npt.NDArray[np.float64]

_LN2 = float.fromhex("0x1.62e42fefa39efp-1")
_LOG_POLYNOMIAL = tuple(map(float.fromhex, ("-0x1.00ea348b88334p-2", "0x1.5575b0be00b6ap-2", "-0x1.ffffef20a4123p-2")))
_LOG2_POLYNOMIAL = tuple(
    map(
        float.fromhex,
        ("-0x1.712b6f70a7e4dp-2", "0x1.ecabf496832ep-2", "-0x1.715479ffae3dep-1", "0x1.715475f35c8b8p+0"),
    )
)
_POW_LOG2_POLYNOMIAL = tuple(
    map(
        float.fromhex,
        (
            *("0x1.27616c9496e0bp-2", "-0x1.71969a075c67ap-2", "0x1.ec70a6ca7baddp-2"),
            *("-0x1.7154748bef6c8p-1", "0x1.71547652ab82bp+0"),
        ),
    )
)
# For each sixteenth of [0.7, 1.4): 1/c of a c near its middle, ln(c) and log2(c).
_LOG_TABLE = [
    tuple(map(float.fromhex, row))
    for row in (
        ("0x1.661ec79f8f3bep+0", "-0x1.57bf7808caadep-2", "-0x1.efec65b963019p-2"),
        ("0x1.571ed4aaf883dp+0", "-0x1.2bef0a7c06ddbp-2", "-0x1.b0b6832d4fca4p-2"),
        ("0x1.49539f0f010bp+0", "-0x1.01eae7f513a67p-2", "-0x1.7418b0a1fb77bp-2"),
        ("0x1.3c995b0b80385p+0", "-0x1.b31d8a68224e9p-3", "-0x1.39de91a6dcf7bp-2"),
        ("0x1.30d190c8864a5p+0", "-0x1.6574f0ac07758p-3", "-0x1.01d9bf3f2b631p-2"),
        ("0x1.25e227b0b8eap+0", "-0x1.1aa2bc79c81p-3", "-0x1.97c1d1b3b7afp-3"),
        ("0x1.1bb4a4a1a343fp+0", "-0x1.a4e76ce8c0e5ep-4", "-0x1.2f9e393af3c9fp-3"),
        ("0x1.12358f08ae5bap+0", "-0x1.1973c5a611cccp-4", "-0x1.960cbbf788d5cp-4"),
        ("0x1.0953f419900a7p+0", "-0x1.252f438e10c1ep-5", "-0x1.a6f9db6475fcep-5"),
        ("0x1p+0", "0x0p+0", "0x0p+0"),
        ("0x1.e608cfd9a47acp-1", "0x1.aa5aa5df25984p-5", "0x1.338ca9f24f53dp-4"),
        ("0x1.ca4b31f026aap-1", "0x1.c5e53aa362eb4p-4", "0x1.476a9543891bap-3"),
        ("0x1.b2036576afce6p-1", "0x1.526e57720db08p-3", "0x1.e840b4ac4e4d2p-3"),
        ("0x1.9c2d163a1aa2dp-1", "0x1.bc2860d22477p-3", "0x1.40645f0c6651cp-2"),
        ("0x1.886e6037841edp-1", "0x1.1058bc8a07ee1p-2", "0x1.88e9c2c1b9ff8p-2"),
        ("0x1.767dcf5534862p-1", "0x1.4043057b6ee09p-2", "0x1.ce0a44eb17bccp-2"),
    )
]
_LOG_COLUMNS = np.array(_LOG_TABLE).T.copy()
_LOG_OFFSET = 0x3F330000
_SMALLEST_NORMAL = np.float32(2.0**-126)
_FLOAT32_MANTISSA_BITS = 24
_SMALLEST_EXPONENT = -125


def exp(x: Float32Array) -> Float32Array:
    """Give e^x of each element, as `expf` does."""
    # Beyond these ends the result is 0 or infinite either way, and the exponent would leave its field.
    scaled = np.minimum(np.maximum(x.astype(np.float64), -104.0), 89.0) * THIRTY_TWO_OVER_LN2
    nearest = np.rint(scaled)
    index = nearest.astype(np.int64)
    scale = (ROOTS_BITS[index & 31] + ((index >> 5) << 52)).view(np.float64)
    c0, c1, c2 = EXP2_POLYNOMIAL
    remainder = scaled - nearest
    cubic = c0 / 32**3 * remainder + c1 / 32**2
    result: Float64Array = (cubic * (remainder * remainder) + (c2 / 32 * remainder + 1.0)) * scale
    return result.astype(np.float32)


def log(x: Float32Array) -> Float32Array:
    """Give the natural logarithm of each element, as `logf` does: -inf for 0, NaN below."""
    remainder, exponent, rows = _split_for_log(x)
    constant = _LOG_COLUMNS[1][rows] + exponent * _LN2
    a0, a1, a2 = _LOG_POLYNOMIAL
    squared = remainder * remainder
    cubic = a0 * squared + (a1 * remainder + a2)
    return _with_log_specials(x, cubic * squared + (constant + remainder))


def log2(x: Float32Array) -> Float32Array:
    """Give the logarithm to base 2 of each element, as `log2f` does: -inf for 0, NaN below."""
    remainder, exponent, rows = _split_for_log(x)
    constant = _LOG_COLUMNS[2][rows] + exponent
    a0, a1, a2, a3 = _LOG2_POLYNOMIAL
    squared = remainder * remainder
    cubic = a0 * squared + (a1 * remainder + a2)
    return _with_log_specials(x, cubic * squared + (a3 * remainder + constant))


def _split_for_log(x: Float32Array) -> tuple[Float64Array, Float64Array, npt.NDArray[np.int32]]:
    """x = 2^exponent * c * (1 + remainder), with c from a row of the table."""
    bits = x.view(np.int32)
    if (x < _SMALLEST_NORMAL).any():
        scaled_bits = (np.minimum(x, _SMALLEST_NORMAL) * np.float32(2.0**23)).view(np.int32) - (23 << 23)
        bits = np.where(x < _SMALLEST_NORMAL, scaled_bits, bits)
    offset = bits - np.int32(_LOG_OFFSET)
    rows = (offset >> 19) & 15
    exponent = offset >> 23
    mantissa = (bits - (exponent << 23)).view(np.float32)
    remainder = mantissa.astype(np.float64) * _LOG_COLUMNS[0][rows] - 1.0
    return remainder, exponent.astype(np.float64), rows


def _with_log_specials(x: Float32Array, result: Float64Array) -> Float32Array:
    rounded = result.astype(np.float32)
    if not (x > 0).all() or np.isposinf(x).any():
        rounded[x == 0] = -np.inf
        rounded[(x < 0) | np.isnan(x)] = np.nan
        rounded[np.isposinf(x)] = np.inf
    return rounded


def power(base: np.float32, exponent: np.float32) -> np.float32:
    """Give base^exponent, as `powf` does."""
    x, y = float(base), float(exponent)
    if x == 0 or y == 0 or not math.isfinite(x) or not math.isfinite(y) or (x < 0 and not y.is_integer()):
        return np.float32(np.power(np.float32(base), np.float32(exponent)))  # exact cases of C99, or NaN
    sign = -1.0 if x < 0 and y % 2 == 1 else 1.0
    exponent_of_two = y * _log2_of_normal(abs(x))
    if exponent_of_two > float.fromhex("0x1.fffffffd1d571p+6"):
        return np.float32(sign * math.inf)
    if exponent_of_two <= -150.0:
        return np.float32(sign * 0.0)
    return np.float32(sign) * np.float32(_exp2(exponent_of_two))


def _log2_of_normal(x: float) -> float:
    """log2 of a positive float32, to about 2^-33."""
    mantissa, exponent = math.frexp(x)  # mantissa in [0.5, 1)
    bits: int = struct.unpack("<i", struct.pack("<f", mantissa))[0]
    offset = bits - _LOG_OFFSET
    inverse, _, log2_c = _LOG_TABLE[(offset >> 19) & 15]
    shift = offset >> 23
    remainder = math.ldexp(mantissa, -shift) * inverse - 1.0
    a0, a1, a2, a3, a4 = _POW_LOG2_POLYNOMIAL
    squared = remainder * remainder
    high = a0 * remainder + a1
    middle = a2 * remainder + a3
    low = middle * squared + (a4 * remainder + (log2_c + (exponent + shift)))
    return high * (squared * squared) + low


def _exp2(x: float) -> float:
    nearest = round(x * 32.0)
    remainder = x - nearest / 32.0
    c0, c1, c2 = EXP2_POLYNOMIAL
    scale = math.ldexp(ROOTS[nearest & 31], nearest >> 5)
    return ((c0 * remainder + c1) * (remainder * remainder) + (c2 * remainder + 1.0)) * scale


def running_sum(values: Float32Array) -> Float32Array:
    """Give the sums of the first 1, 2, ... elements, each rounded to float32 before the next is added."""
    return np.add.accumulate(values, dtype=np.float32)


def sequential_sum(values: Float32Array) -> np.float32:
    """Give the sum in the order of a plain loop over float32, 0 of nothing."""
    return np.float32(running_sum(values)[-1]) if len(values) else np.float32(0)


def sum_doubles_into_float(terms: Float64Array) -> np.float32:
    """Give the float32 that `accumulator += term` leaves, each term >= 0 added in double and the sum rounded.

    While the accumulator stays between two powers of two it moves in steps of one unit in its last place, so a
    double-precision running sum beside a constant of the right size rounds exactly as the float would.
    """
    terms = terms[terms != 0]
    total = 0.0
    done = 0
    while done < len(terms):
        total = float(np.float32(total + float(terms[done])))
        done += 1
        if not math.isfinite(total):
            return np.float32(total)
        exponent = max(math.frexp(total)[1], _SMALLEST_EXPONENT) if total else _SMALLEST_EXPONENT
        top = math.ldexp(1.0, exponent)
        chunk = terms[done : done + max(256, 2 * done)]
        rounder = math.ldexp(0.75, exponent)  # rounds what is added to a double's last place in this binade
        shift = math.ldexp(1.5, exponent + 52 - _FLOAT32_MANTISSA_BITS)  # rounds sums to a float's last place
        sums = np.add.accumulate(np.concatenate(([shift + total], (chunk + rounder) - rounder)))[1:] - shift
        leaves = (sums >= top) | (chunk >= top / 4)
        n_inside = int(leaves.argmax()) if leaves.any() else len(chunk)
        if n_inside:
            total = float(sums[n_inside - 1])
            done += n_inside
    return np.float32(total)
