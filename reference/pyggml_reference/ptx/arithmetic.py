"""What instructions compute, on arrays of numbers of the type they name."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

_KINDS = {"s": "i", "u": "u", "b": "u", "f": "f"}


def dtype_of(kind: str) -> np.dtype[Any]:
    """The type of numbers that PTX calls s32, b64, f16 and so on."""
    return np.dtype(bool) if kind == "pred" else np.dtype(f"{_KINDS[kind[0]]}{int(kind[1:].removesuffix('x2')) // 8}")


def _odd_sum(p: Array, c: Array) -> Array:
    """p + c in float64, rounded to odd: rounding it again to fewer bits gives what rounding once would have given."""
    s = p + c
    back = s - p
    error = (p - (s - back)) + (c - back)
    inexact = (error != 0) & np.isfinite(s) & (s.view(np.uint64) & 1 == 0)
    return np.where(inexact, np.nextafter(s, np.where(error > 0, np.inf, -np.inf)), s)


def fused_multiply_add(a: Array, b: Array, c: Array, rounding: str = "rn") -> Array:
    """a b + c, rounded once, of floats of 32 or 16 bits; rounding: rn to the nearest, rm down."""
    if a.dtype == np.float64:
        raise NotImplementedError("fma.f64")
    exact = _odd_sum(a.astype(np.float64) * b.astype(np.float64), c.astype(np.float64))
    result = exact.astype(a.dtype)
    if rounding == "rm":
        result = np.where(result > exact, np.nextafter(result, np.array(-np.inf, a.dtype)), result)
    return result.astype(a.dtype)


def convert(x: Array, target: str, modifiers: tuple[str, ...]) -> Array:
    """A number of another type: floats are rounded as `modifiers` say, to whole numbers with saturation."""
    kind = dtype_of(target)
    if kind.kind == "f":
        result = x.astype(kind)
        return np.clip(result, 0, 1) if "sat" in modifiers else result
    if x.dtype.kind != "f":
        return x.astype(kind)
    rounded = {"rni": np.rint, "rzi": np.trunc, "rmi": np.floor, "rpi": np.ceil}[
        next(each for each in modifiers if each in ("rni", "rzi", "rmi", "rpi"))
    ](x.astype(np.float64))
    limits = np.iinfo(kind)
    found: Array = np.clip(np.nan_to_num(rounded, nan=0), limits.min, limits.max).astype(kind)
    return found


def multiply(a: Array, b: Array, part: str) -> Array:
    """The low or high half of a product of whole numbers, or all of it (wide)."""
    n_bits = 8 * a.dtype.itemsize
    if part == "lo":
        return a * b
    wide = np.dtype(f"{a.dtype.kind}{n_bits // 4}")
    product = a.astype(wide) * b.astype(wide)
    found: Array = product if part == "wide" else (product >> n_bits).astype(a.dtype)
    return found


def shift(x: Array, count: Array, left: bool) -> Array:
    """Shift by a number of bits, which may be more than there are."""
    n_bits = 8 * x.dtype.itemsize
    least = np.minimum(count.astype(np.int64), n_bits - 1).astype(x.dtype)
    shifted: Array = x << least if left else x >> least
    if x.dtype.kind == "i" and not left:
        return shifted
    return np.where(count >= n_bits, x.dtype.type(0), shifted)


def permute_bytes(a: Array, b: Array, selector: Array) -> Array:
    """prmt: each byte of the result is one of the eight of a and b, or its sign spread over the byte."""
    both = a.astype(np.uint64) | b.astype(np.uint64) << np.uint64(32)
    result = np.zeros_like(a)
    for i in range(4):
        choice = (selector >> np.uint32(4 * i)) & np.uint32(15)
        byte = (both >> ((choice & np.uint32(7)).astype(np.uint64) * np.uint64(8))).astype(np.uint32) & np.uint32(255)
        spread = np.where(byte & np.uint32(128), np.uint32(255), np.uint32(0))
        result |= np.where(choice & np.uint32(8), spread, byte) << np.uint32(8 * i)
    return result


def insert_bits(a: Array, b: Array, position: Array, length: Array) -> Array:
    """bfi: the low bits of a in the place of so many of b."""
    kind = b.dtype.type
    mask = ((kind(1) << length.astype(b.dtype)) - kind(1)) << position.astype(b.dtype)
    found: Array = (b & ~mask) | (a << position.astype(b.dtype) & mask)
    return found


def extract_bits(a: Array, position: Array, length: Array) -> Array:
    """bfe: so many bits from a position on, with their sign if `a` has one."""
    n_bits = 8 * a.dtype.itemsize
    up = (n_bits - position.astype(np.int64) - length.astype(np.int64)).astype(a.dtype)
    found: Array = (a << up) >> (n_bits - length.astype(np.int64)).astype(a.dtype)
    return found


def dot_pairs(a: Array, b: Array, c: Array, high: bool, signed: tuple[bool, bool]) -> Array:
    """dp2a: two numbers of 16 bits times the low or high two bytes, plus c."""
    words = a.view(np.int16 if signed[0] else np.uint16).reshape(-1, 2).astype(np.int64)
    parts = b.view(np.int8 if signed[1] else np.uint8).reshape(-1, 4)[:, 2 * high : 2 * high + 2].astype(np.int64)
    found: Array = ((words * parts).sum(-1) + c.astype(np.int64)).astype(c.dtype)
    return found


def dot_bytes(a: Array, b: Array, c: Array, signed: tuple[bool, bool]) -> Array:
    """dp4a: four bytes times four, plus c."""
    x, y = (
        each.view(np.int8 if sign else np.uint8).reshape(-1, 4).astype(np.int64)
        for each, sign in zip((a, b), signed, strict=True)
    )
    found: Array = ((x * y).sum(-1) + c.astype(np.int64)).astype(c.dtype)
    return found


def reverse_bits(x: Array) -> Array:
    """brev."""
    bits = np.unpackbits(x.view(np.uint8).reshape(-1, x.dtype.itemsize), axis=-1)
    return np.ascontiguousarray(np.packbits(bits[:, ::-1], axis=-1)).view(x.dtype).reshape(-1)


def highest_bit(x: Array, as_shift: bool) -> Array:
    """bfind: the place of the highest bit that is set, or its distance from the top; -1 if there is none."""
    places = np.zeros(x.shape, np.int64)
    magnitude = (x.astype(np.int64) ^ (x.astype(np.int64) >> 63)) & 0xFFFFFFFF if x.dtype.kind == "i" else x
    for i in range(8 * x.dtype.itemsize):
        places = np.where((magnitude.astype(np.uint64) >> np.uint64(i)) & np.uint64(1), i, places)
    shifts = 8 * x.dtype.itemsize - 1 - places
    return np.where(magnitude == 0, -1, shifts if as_shift else places).astype(np.int32).view(np.uint32)


def divide(a: Array, b: Array) -> Array:
    """Floats as usual; whole numbers towards zero."""
    if a.dtype.kind == "f":
        return a / b
    if a.dtype.kind == "u":
        return a // b
    quotient = np.abs(a.astype(np.int64)) // np.abs(b.astype(np.int64))
    found: Array = (np.sign(a.astype(np.int64)) * np.sign(b.astype(np.int64)) * quotient).astype(a.dtype)
    return found


def remainder(a: Array, b: Array) -> Array:
    """What `divide` leaves, with the sign of a."""
    return np.fmod(a, b)


def least(a: Array, b: Array) -> Array:
    """The smaller; a number rather than NaN."""
    return np.fmin(a, b)


def greatest(a: Array, b: Array) -> Array:
    """The larger; a number rather than NaN."""
    return np.fmax(a, b)


COMPARISONS: Mapping[str, Callable[[Array, Array], Array]] = {
    "eq": np.equal,
    "ne": lambda a, b: (a != b) & ~(_nan(a) | _nan(b)),
    "lt": np.less,
    "le": np.less_equal,
    "gt": np.greater,
    "ge": np.greater_equal,
    "equ": lambda a, b: (a == b) | _nan(a) | _nan(b),
    "neu": np.not_equal,
    "ltu": lambda a, b: ~(a >= b),
    "leu": lambda a, b: ~(a > b),
    "gtu": lambda a, b: ~(a <= b),
    "geu": lambda a, b: ~(a < b),
    "lo": np.less,
    "ls": np.less_equal,
    "hi": np.greater,
    "hs": np.greater_equal,
    "nan": lambda a, b: _nan(a) | _nan(b),
    "num": lambda a, b: ~(_nan(a) | _nan(b)),
}


def _nan(x: Array) -> Array:
    found: Array = x != x
    return found


#: Of one number.
UNARY: Mapping[str, Callable[[Array], Array]] = {
    "neg": np.negative,
    "abs": np.abs,
    "not": np.invert,
    "mov": lambda x: x,
    "sqrt": np.sqrt,
    "rsqrt": lambda x: (1 / np.sqrt(x.astype(np.float64))).astype(x.dtype),
    "rcp": lambda x: (1 / x.astype(np.float64)).astype(x.dtype),
    "ex2": lambda x: np.exp2(x.astype(np.float64)).astype(x.dtype),
    "lg2": lambda x: np.log2(x.astype(np.float64)).astype(x.dtype),
    "sin": lambda x: np.sin(x.astype(np.float64)).astype(x.dtype),
    "cos": lambda x: np.cos(x.astype(np.float64)).astype(x.dtype),
    "tanh": lambda x: np.tanh(x.astype(np.float64)).astype(x.dtype),
    "brev": reverse_bits,
    "popc": lambda x: np.unpackbits(x.view(np.uint8).reshape(-1, x.dtype.itemsize), axis=-1).sum(-1).astype(np.uint32),
    "clz": lambda x: (8 * x.dtype.itemsize - 1 - highest_bit(x, False).view(np.int32)).astype(np.uint32),
}

#: Of two numbers.
BINARY: Mapping[str, Callable[[Array, Array], Array]] = {
    "add": np.add,
    "sub": np.subtract,
    "div": divide,
    "rem": remainder,
    "min": least,
    "max": greatest,
    "and": np.bitwise_and,
    "or": np.bitwise_or,
    "xor": np.bitwise_xor,
}
