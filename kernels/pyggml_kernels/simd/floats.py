"""Functions of vectors of 16 floats or doubles, lane by lane and across lanes; loads and stores of fewer.

A scalar among the operands stands for itself in every lane.
"""

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils

from pyggml_kernels.jit import intrinsic
from pyggml_kernels.simd import halves
from pyggml_kernels.simd.operators import same_width
from pyggml_kernels.simd.vector import DOUBLES, FLOATS, I1, I8, I32, I64, TILE_ROWS, call, select_lanes, splat, store

# Numba's own functions, which it does not type.
_cgutils: Any = cgutils


def _copy_floats(builder: Any, target: Any, source: Any, n: Any) -> None:
    """Copy `n` floats from one pointer to another."""
    n_bytes = builder.mul(n, I64(4))
    call(builder, "llvm.memcpy.p0.p0.i64", ir.VoidType(), [target, source, n_bytes, I1(0)])


def _room(builder: Any) -> Any:
    """A pointer to room for a vector that begins with zeros."""
    place = _cgutils.alloca_once(builder, FLOATS.llvm)
    builder.store(ir.Constant(FLOATS.llvm, None), place)
    return place


@intrinsic
def load_some(typing_context: Any, address: Any, n: Any) -> Any:
    """`n` floats, at most 16, and zeros in the other lanes; nothing behind them is read."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        place = _room(builder)
        source = builder.inttoptr(arguments[0], I8.as_pointer())
        _copy_floats(builder, builder.bitcast(place, I8.as_pointer()), source, arguments[1])
        return builder.load(place)

    return FLOATS(types.int64, types.int64), generate


@intrinsic
def store_some(typing_context: Any, address: Any, values: Any, n: Any) -> Any:
    """Write the floats of the first `n` lanes."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        place = _room(builder)
        builder.store(arguments[1], place)
        target = builder.inttoptr(arguments[0], I8.as_pointer())
        _copy_floats(builder, target, builder.bitcast(place, I8.as_pointer()), arguments[2])
        return context.get_dummy_value()

    return types.void(types.int64, FLOATS, types.int64), generate


@intrinsic
def store_halves(typing_context: Any, address: Any, values: Any) -> Any:
    """Write 16 floats as the halves nearest to them, ties to even; of a NaN only the sign is kept."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        store(builder, arguments[0], halves.from_float_plain_nan(builder, arguments[1]))
        return context.get_dummy_value()

    return types.void(types.int64, FLOATS), generate


@intrinsic
def in_every_lane(typing_context: Any, value: Any) -> Any:
    """A float in each of 16 lanes."""
    return FLOATS(types.float32), lambda context, builder, signature, arguments: splat(builder, arguments[0], TILE_ROWS)


@intrinsic
def fused(typing_context: Any, x: Any, y: Any, z: Any) -> Any:
    """x * y + z, rounded once."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return call(builder, "llvm.fma.v16f32", FLOATS.llvm, same_width(builder, FLOATS.llvm, arguments))

    return FLOATS(x, y, z), generate


def _chosen(sign: str) -> Any:
    def choose(typing_context: Any, x: Any, y: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            left, right = same_width(builder, FLOATS.llvm, arguments)
            return builder.select(builder.fcmp_ordered(sign, right, left), right, left)

        return FLOATS(x, y), generate

    return choose


#: The larger, and the smaller, of two; the first if either is NaN.
larger = intrinsic(_chosen(">"))
smaller = intrinsic(_chosen("<"))


def _across(combine: Any) -> Any:
    """All lanes combined, in halves that lie apart by 8, 4, 2 and 1 lanes: each lane gets the same."""

    def reduce(typing_context: Any, vector: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            value = arguments[0]
            for distance in (8, 4, 2, 1):
                lanes = [lane ^ distance for lane in range(TILE_ROWS)]
                value = combine(builder, value, select_lanes(builder, value, lanes))
            return value

        return vector(vector), generate

    return reduce


def _larger(builder: Any, x: Any, y: Any) -> Any:
    return builder.select(builder.fcmp_ordered(">", y, x), y, x)


@intrinsic
def as_doubles(typing_context: Any, values: Any) -> Any:
    """Each lane as a double."""
    return DOUBLES(FLOATS), lambda context, builder, signature, arguments: builder.fpext(arguments[0], DOUBLES.llvm)


#: The largest lane, unless there are NaNs, and the sum of all lanes: in every lane.
largest_lane = intrinsic(_across(_larger))
sum_of_lanes = intrinsic(_across(lambda builder, x, y: builder.fadd(x, y)))


@intrinsic
def first_lane(typing_context: Any, values: Any) -> Any:
    """The number in the first lane."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.extract_element(arguments[0], I32(0))

    return values.element(values), generate


@intrinsic
def first_lanes(typing_context: Any, values: Any, n: Any, other: Any) -> Any:
    """`values` in the first `n` lanes, `other` in the rest."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        values, other = same_width(builder, FLOATS.llvm, [arguments[0], arguments[2]])
        lanes = ir.Constant(ir.VectorType(I32, TILE_ROWS), list(range(TILE_ROWS)))
        chosen = builder.icmp_signed("<", lanes, splat(builder, builder.trunc(arguments[1], I32), TILE_ROWS))
        return builder.select(chosen, values, other)

    return FLOATS(FLOATS, types.int64, other), generate
