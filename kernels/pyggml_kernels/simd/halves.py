"""IEEE halves to floats and back, of a number or a vector, with the CPU's instructions or in integer arithmetic."""

from typing import Any

from llvmlite import ir

from pyggml_kernels.simd.cpu import converts_halves
from pyggml_kernels.simd.vector import F16, F32, I16, I32

_INFINITY = 0x7F800000
_MAGNITUDE = 0x7FFFFFFF


def _like(kind: ir.Type, element: ir.Type) -> ir.Type:
    """The scalar type, or a vector of it with as many lanes as `kind` has."""
    return ir.VectorType(element, kind.count) if isinstance(kind, ir.VectorType) else element


def _constant(kind: ir.Type, value: float) -> Any:
    return ir.Constant(kind, [value] * kind.count if isinstance(kind, ir.VectorType) else value)


def to_float(builder: Any, bits: Any) -> Any:
    """The floats of 16-bit integers that are halves."""
    floats = _like(bits.type, F32)
    if converts_halves():
        return builder.fpext(builder.bitcast(bits, _like(bits.type, F16)), floats)
    words = _like(bits.type, I32)
    wide = builder.zext(bits, words)
    sign = builder.shl(builder.and_(wide, _constant(words, 0x8000)), _constant(words, 16))
    magnitude = builder.shl(builder.and_(wide, _constant(words, 0x7FFF)), _constant(words, 13))
    # The exponents of a half and a float differ by 112; a product makes subnormal halves normal, too.
    scaled = builder.bitcast(builder.fmul(builder.bitcast(magnitude, floats), _constant(floats, 2.0**112)), words)
    special = builder.icmp_unsigned(">=", magnitude, _constant(words, 0x7C00 << 13))
    finite_or_not = builder.select(special, builder.or_(magnitude, _constant(words, _INFINITY)), scaled)
    return builder.bitcast(builder.or_(finite_or_not, sign), floats)


def from_float(builder: Any, values: Any) -> Any:
    """The 16-bit integers of the halves nearest to floats, ties to even."""
    halves = _like(values.type, I16)
    if converts_halves():
        return builder.bitcast(builder.fptrunc(values, _like(values.type, F16)), halves)
    words = _like(values.type, I32)
    bits = builder.bitcast(values, words)
    sign = builder.and_(builder.lshr(bits, _constant(words, 16)), _constant(words, 0x8000))
    magnitude = builder.and_(bits, _constant(words, _MAGNITUDE))
    # Normal: the exponent is brought down, and what is cut off rounds the rest.
    odd = builder.and_(builder.lshr(magnitude, _constant(words, 13)), _constant(words, 1))
    lowered = builder.sub(magnitude, _constant(words, (112 << 23) - 0xFFF))
    normal = builder.lshr(builder.add(lowered, odd), _constant(words, 13))
    # Subnormal: next to 1/2, floats are as far apart as subnormal halves.
    half = _constant(values.type, 0.5)
    moved = builder.fadd(builder.bitcast(magnitude, values.type), half)
    subnormal = builder.sub(builder.bitcast(moved, words), builder.bitcast(half, words))
    result = builder.select(builder.icmp_unsigned("<", magnitude, _constant(words, 113 << 23)), subnormal, normal)
    too_large = builder.icmp_unsigned(">=", magnitude, _constant(words, 0x477FF000))
    result = builder.select(too_large, _constant(words, 0x7C00), result)
    is_nan = builder.icmp_unsigned(">", magnitude, _constant(words, _INFINITY))
    result = builder.select(is_nan, _constant(words, 0x7E00), result)
    return builder.trunc(builder.or_(result, sign), halves)


def from_float_plain_nan(builder: Any, values: Any) -> Any:
    """As `from_float`, but of a NaN only the sign is kept."""
    halves = _like(values.type, I16)
    bits = builder.bitcast(values, _like(values.type, I32))
    sign = builder.and_(builder.trunc(builder.lshr(bits, _constant(bits.type, 16)), halves), _constant(halves, 0x8000))
    nan = builder.or_(sign, _constant(halves, 0x7E00))
    is_nan = builder.fcmp_unordered("uno", values, values)
    return builder.select(is_nan, nan, from_float(builder, values))
