"""Lanes of a block's neighbouring weights: their extremes, and how they are rounded to codes.

The vectors of `formats.lanes` with what quantizers of one scale a block need besides. All is exact, so the order in
which lanes are looked at decides nothing.
"""

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types

from pyggml_kernels.jit import intrinsic
from pyggml_kernels.simd.vector import F32, I32, I64, call, constant, splat

_MAGNITUDE, _SIGN = 0x7FFFFFFF, 31


def _integers(builder: Any, lanes: Any) -> Any:
    return builder.bitcast(lanes, ir.VectorType(I32, lanes.type.count))


def _order(builder: Any, bits: Any) -> Any:
    """Bits of floats as integers that order like the numbers, with -0 before 0; the same again gives the bits back."""
    flip = builder.and_(builder.ashr(bits, constant(bits.type, _SIGN)), constant(bits.type, _MAGNITUDE))
    return builder.xor(bits, flip)


def _extreme(name: str) -> Callable[..., Any]:
    """The least or the largest lane; of zeros -0 is the less."""

    def extreme(typing_context: Any, lanes: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            ordered = _order(builder, _integers(builder, arguments[0]))
            found = call(builder, f"llvm.vector.reduce.{name}.v{lanes.n}i32", I32, [ordered])
            flip = builder.and_(builder.ashr(found, I32(_SIGN)), I32(_MAGNITUDE))
            return builder.bitcast(builder.xor(found, flip), F32)

        return types.float32(lanes), generate

    return extreme


lowest_lane = intrinsic(_extreme("smin"))
highest_lane = intrinsic(_extreme("smax"))


@intrinsic
def larger(typing_context: Any, left: Any, right: Any) -> Any:
    """The larger of two floats in each lane, neither of them NaN or negative."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.select(builder.fcmp_ordered(">", *arguments), *arguments)

    return left(left, right), generate


@intrinsic
def which_lanes(typing_context: Any, condition: Any) -> Any:
    """Truths as the bits of an integer, that of lane 0 the lowest."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.zext(builder.bitcast(arguments[0], ir.IntType(condition.n)), I64)

    return types.int64(condition), generate


@intrinsic
def lowest_bit(typing_context: Any, bits: Any) -> Any:
    """The place of the lowest set bit; 64 if none is."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 0))

    return types.int64(types.int64), generate


@intrinsic
def round_away(typing_context: Any, lanes: Any) -> Any:
    """The nearest integer, halves away from zero."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return call(builder, f"llvm.round.v{lanes.n}f32", lanes.llvm, list(arguments))

    return lanes(lanes), generate


@intrinsic
def round_down(typing_context: Any, lanes: Any) -> Any:
    """The largest integer that is no larger."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return call(builder, f"llvm.floor.v{lanes.n}f32", lanes.llvm, list(arguments))

    return lanes(lanes), generate


@intrinsic
def held(typing_context: Any, lanes: Any, otherwise: Any) -> Any:
    """The lanes below 2**31 in magnitude; `otherwise` in place of the larger ones and of NaN.

    A block of tiny weights has an infinite inverse scale. What C makes an integer of then is not defined, but on x86 it
    is -2**31, and its low byte 0.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        value, other = arguments
        size = call(builder, f"llvm.fabs.v{lanes.n}f32", value.type, [value])
        small = builder.fcmp_ordered("<", size, constant(value.type, 2.0**31))
        return builder.select(small, value, splat(builder, other, lanes.n))

    return lanes(lanes, types.float32), generate
