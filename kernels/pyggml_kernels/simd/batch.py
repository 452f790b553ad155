"""A few rows at once: a tuple of vectors, one for each of a tuple of addresses."""

from typing import Any

from llvmlite import ir
from numba import types

from pyggml_kernels.jit import intrinsic
from pyggml_kernels.simd.vector import (
    F32,
    FLOATS,
    I64,
    TILE_ROWS,
    at,
    call,
    load,
    pack_tuple,
    splat,
    store,
    unpack_tuple,
)

#: Rows at once: the sums of their products fill the registers of most CPUs.
BATCH_ROWS = 6

_tuple_of: Any = types.UniTuple
_ADDRESSES = _tuple_of(types.int64, BATCH_ROWS)
_VALUES = _tuple_of(FLOATS, BATCH_ROWS)


def _places(builder: Any, addresses: Any, offset: Any) -> list[Any]:
    return [builder.add(each, offset) for each in unpack_tuple(builder, addresses, BATCH_ROWS)]


@intrinsic
def batch_of(typing_context: Any, first: Any, stride: Any, n: Any) -> Any:
    """The addresses of `n` rows that lie `stride` bytes apart; the last again where they are fewer than a batch."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        first, stride, n = arguments
        places = [first]
        for row in range(1, BATCH_ROWS):
            is_there = builder.icmp_signed("<", I64(row), n)
            places.append(builder.select(is_there, at(builder, first, row, stride), places[-1]))
        return pack_tuple(context, builder, _ADDRESSES, places)

    return _ADDRESSES(types.int64, types.int64, types.int64), generate


@intrinsic
def zeros_batch(typing_context: Any) -> Any:
    """Zeros for each row."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return pack_tuple(context, builder, _VALUES, [ir.Constant(FLOATS.llvm, None)] * BATCH_ROWS)

    return _VALUES(), generate


@intrinsic
def load_batch(typing_context: Any, addresses: Any, offset: Any) -> Any:
    """16 floats of each row, so many bytes behind its address."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        values = [load(builder, place, FLOATS.llvm) for place in _places(builder, *arguments)]
        return pack_tuple(context, builder, _VALUES, values)

    return _VALUES(_ADDRESSES, types.int64), generate


@intrinsic
def store_batch(typing_context: Any, values: Any, addresses: Any, offset: Any) -> Any:
    """Write 16 floats for each row, so many bytes behind its address."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        values = unpack_tuple(builder, arguments[0], BATCH_ROWS)
        for value, place in zip(values, _places(builder, *arguments[1:]), strict=True):
            store(builder, place, value)
        return context.get_dummy_value()

    return types.void(_VALUES, _ADDRESSES, types.int64), generate


def _factors(builder: Any, addresses: Any, offset: Any) -> list[Any]:
    """The float so many bytes behind each address, in every lane."""
    return [splat(builder, load(builder, place, F32), TILE_ROWS) for place in _places(builder, addresses, offset)]


@intrinsic
def multiply_batch(typing_context: Any, values: Any, addresses: Any, offset: Any) -> Any:
    """The values of each row times the float so many bytes behind its address."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        factors = _factors(builder, *arguments[1:])
        values = unpack_tuple(builder, arguments[0], BATCH_ROWS)
        products = [builder.fmul(value, factor) for value, factor in zip(values, factors, strict=True)]
        return pack_tuple(context, builder, _VALUES, products)

    return _VALUES(_VALUES, _ADDRESSES, types.int64), generate


@intrinsic
def add_multiples_batch(typing_context: Any, totals: Any, vector: Any, addresses: Any, offset: Any) -> Any:
    """The totals of each row + the vector * the float so many bytes behind the row's address, rounded once."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        totals, vector, addresses, offset = arguments
        factors = _factors(builder, addresses, offset)
        sums = [
            call(builder, "llvm.fma.v16f32", FLOATS.llvm, [vector, factor, total])
            for factor, total in zip(factors, unpack_tuple(builder, totals, BATCH_ROWS), strict=True)
        ]
        return pack_tuple(context, builder, _VALUES, sums)

    return _VALUES(_VALUES, FLOATS, _ADDRESSES, types.int64), generate
