"""What the blocks of the formats without integer scales hold, in plain NumPy: levels and scales.

Functions take structured arrays (n_rows, n_blocks) and give levels (n_rows, n_blocks, block_size).
"""

from typing import Any

import numpy as np
import numpy.typing as npt

Blocks = npt.NDArray[Any]
Integers = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]

#: What the codes of E2M1 stand for, doubled.
_E2M1 = np.array([0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12])
#: What the codes of IQ4_NL and IQ4_XS stand for.
IQ4_LEVELS = np.array([-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113])

Q4_0 = np.dtype([("d", "<f2"), ("qs", "u1", 16)])
Q4_1 = np.dtype([("d", "<f2"), ("m", "<f2"), ("qs", "u1", 16)])
Q5_0 = np.dtype([("d", "<f2"), ("qh", "u1", 4), ("qs", "u1", 16)])
Q5_1 = np.dtype([("d", "<f2"), ("m", "<f2"), ("qh", "u1", 4), ("qs", "u1", 16)])
Q8_0 = np.dtype([("d", "<f2"), ("qs", "i1", 32)])
Q8_1 = np.dtype([("d", "<f2"), ("s", "<f2"), ("qs", "i1", 32)])
Q8_K = np.dtype([("d", "<f4"), ("qs", "i1", 256), ("bsums", "<i2", 16)])
Q1_0 = np.dtype([("d", "<f2"), ("qs", "u1", 16)])
Q2_0 = np.dtype([("d", "<f2"), ("qs", "u1", 16)])
TQ1_0 = np.dtype([("qs", "u1", 48), ("qh", "u1", 4), ("d", "<f2")])
TQ2_0 = np.dtype([("qs", "u1", 64), ("d", "<f2")])
MXFP4 = np.dtype([("e", "u1"), ("qs", "u1", 16)])
NVFP4 = np.dtype([("d", "u1", 4), ("qs", "u1", 32)])


def halves(numbers: npt.NDArray[Any]) -> Floats:
    """IEEE halves as floats."""
    return numbers.astype(np.float32)


def fields(numbers: npt.NDArray[Any], width: int, n: int) -> Integers:
    """Give `n` fields of `width` bits of each integer, the lowest first. Shape (..., n)."""
    return numbers.astype(np.int64)[..., None] >> np.arange(n) * width & (1 << width) - 1


def bits(octets: npt.NDArray[np.uint8]) -> Integers:
    """Give the bits of bytes (..., n), the lowest of each byte first. Shape (..., 8 n)."""
    return np.unpackbits(octets, axis=-1, bitorder="little").astype(np.int64)


def planes(octets: npt.NDArray[np.uint8], width: int) -> Integers:
    """Give the fields of bytes (..., n): the lowest of all bytes, then the next of all. Shape (..., n * 8 / width)."""
    return np.concatenate(list(np.moveaxis(fields(octets, width, 8 // width), -1, 0)), axis=-1)


def q4_0(w: Blocks) -> Integers:
    """-8 to 7."""
    return planes(w["qs"], 4) - 8


def q4_1(w: Blocks) -> Integers:
    """0 to 15."""
    return planes(w["qs"], 4)


def q5_0(w: Blocks) -> Integers:
    """-16 to 15."""
    return q5_1(w) - 16


def q5_1(w: Blocks) -> Integers:
    """0 to 31."""
    return planes(w["qs"], 4) | bits(w["qh"]) << 4


def q8_0(w: Blocks) -> Integers:
    """-128 to 127."""
    return w["qs"].astype(np.int64)


def q1_0(w: Blocks) -> Integers:
    """-1 or 1."""
    return 2 * bits(w["qs"]) - 1


def q2_0(w: Blocks) -> Integers:
    """-1 to 2; neighbours share a byte."""
    return fields(w["qs"], 2, 4).reshape(*w.shape, 64) - 1


def tq2_0(w: Blocks) -> Integers:
    """-1 to 2, in two halves."""
    return np.concatenate([planes(half, 2) for half in (w["qs"][..., :32], w["qs"][..., 32:])], axis=-1) - 1


def tq1_0(w: Blocks) -> Integers:
    """-1 to 1: the base-3 digits of bytes that are fractions, the highest first."""
    parts = (w["qs"][..., :32], 5), (w["qs"][..., 32:], 5), (w["qh"], 4)
    digits = [
        (each.astype(np.int64) * 3**digit & 255) * 3 >> 8 for each, n_digits in parts for digit in range(n_digits)
    ]
    return np.concatenate(digits, axis=-1) - 1


def iq4_nl(w: Blocks) -> Integers:
    """Levels of the table."""
    return IQ4_LEVELS[planes(w["qs"], 4)]


def mxfp4(w: Blocks) -> Integers:
    """Doubled E2M1 numbers."""
    return _E2M1[planes(w["qs"], 4)]


def mxfp4_scales(w: Blocks) -> Floats:
    """Half of what the exponents mean."""
    e = w["e"].astype(np.uint32)
    return np.where(e < 2, np.uint32(0x200000) << e, (e - 1) << 23).astype(np.uint32).view(np.float32)


def nvfp4(w: Blocks) -> Integers:
    """Doubled E2M1 numbers, in four groups."""
    return _E2M1[planes(w["qs"].reshape(*w.shape, 4, 8), 4)].reshape(*w.shape, 64)


def nvfp4_scales(w: Blocks) -> Floats:
    """Half of the unsigned floats of 4 bits of exponent and 3 of mantissa. Shape (n_rows, n_blocks, 4)."""
    code = w["d"].astype(np.int64)
    exponent, mantissa = code >> 3 & 15, code & 7
    numbers = np.where(exponent == 0, mantissa * 2.0**-10, (8 + mantissa) * 2.0 ** (exponent - 11))
    return np.where(code == 127, 0, numbers).astype(np.float32)
