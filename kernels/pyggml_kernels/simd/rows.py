"""Vector operations as kernels call them: 16 rows of weights and a few tokens at once.

A value of several tokens is a tuple of vectors, one a token, with a lane for each row. What a token reads lies `stride`
bytes behind what the token before it reads. Functions named `..._of` make an operation for constants.
"""

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types

from pyggml_kernels.jit import intrinsic
from pyggml_kernels.simd import halves
from pyggml_kernels.simd.dot import dot_2, dot_4
from pyggml_kernels.simd.levels import load_levels
from pyggml_kernels.simd.vector import (
    F32,
    FLOATS,
    I8,
    I16,
    I32,
    INTEGERS,
    PAIRS,
    TILE_ROWS,
    Vector,
    at,
    call,
    constant,
    load,
    pack_tuple,
    splat,
    store,
    unpack_tuple,
)

# What these functions return is typed by Numba, not by Python.
Operation = Callable[..., Any]
_tuple_of: Any = types.UniTuple


def _each(context: Any, builder: Any, signature: Any, values: Any, make: Callable[[int, Any], Any]) -> Any:
    """A tuple made of another, element by element."""
    kind = signature.return_type
    return pack_tuple(
        context, builder, kind, [make(i, each) for i, each in enumerate(unpack_tuple(builder, values, kind.count))]
    )


def zeros_of(vector: Vector, n_tokens: int) -> Operation:
    """Makes `() -> zeros`, for so many tokens."""
    kind = _tuple_of(vector, n_tokens)

    @intrinsic
    def zeros(typing_context: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return pack_tuple(context, builder, kind, [ir.Constant(vector.llvm, None)] * n_tokens)

        return kind(), generate

    return zeros


def dots_of(n_bits: int, table: tuple[int, ...], first: int, last: int) -> Operation:
    """Makes `(totals, part, x, stride)`: totals + products of the part's vectors `first` to `last` - 1 and x.

    part: address of 32 columns of weights, see `simd.levels`; x: address of their signed bytes.
    """

    @intrinsic
    def dots(typing_context: Any, totals: Any, part: Any, x: Any, stride: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            totals, part, x, stride = arguments
            sums = unpack_tuple(builder, totals, signature.return_type.count)
            for vector in range(first, last):
                levels = load_levels(builder, part, vector, n_bits, table)
                for token, total in enumerate(sums):
                    four = load(builder, builder.add(at(builder, x, token, stride), x.type(4 * vector)), I32)
                    signed = builder.bitcast(splat(builder, four, TILE_ROWS), levels.type)
                    sums[token] = dot_4(builder, total, levels, signed, 8 if table else n_bits)
            return pack_tuple(context, builder, signature.return_type, sums)

        return totals(totals, types.int64, types.int64, types.int64), generate

    return dots


@intrinsic
def add_pairs(typing_context: Any, totals: Any, pairs: Any, sums: Any, stride: Any) -> Any:
    """totals + first of the pair * first sum + second of the pair * second sum; two 16-bit sums lie at an address."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        totals, pairs, sums, stride = arguments

        def add(token: int, total: Any) -> Any:
            two = splat(builder, load(builder, at(builder, sums, token, stride), I32), TILE_ROWS)
            return dot_2(builder, total, pairs, builder.bitcast(two, pairs.type))

        return _each(context, builder, signature, totals, add)

    return totals(totals, PAIRS, types.int64, types.int64), generate


@intrinsic
def add_products(typing_context: Any, totals: Any, factor: Any, values: Any) -> Any:
    """totals + factor * values, as integers."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        totals, factor, values = arguments
        others = unpack_tuple(builder, values, signature.return_type.count)
        return _each(
            context, builder, signature, totals, lambda i, total: builder.add(total, builder.mul(factor, others[i]))
        )

    return totals(totals, INTEGERS, totals), generate


@intrinsic
def start_dots(typing_context: Any, like: Any, offset: Any, sums: Any, stride: Any) -> Any:
    """-offset times the 16-bit sum at an address, in every row: what takes an offset of the levels back."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        values, offset, sums, stride = arguments

        def start(token: int, value: Any) -> Any:
            total = builder.sext(load(builder, at(builder, sums, token, stride), I16), I32)
            return splat(builder, builder.mul(builder.neg(builder.trunc(offset, I32)), total), TILE_ROWS)

        return _each(context, builder, signature, values, start)

    return like(like, types.int64, types.int64, types.int64), generate


@intrinsic
def add_scaled(typing_context: Any, totals: Any, scale: Any, values: Any, x_scales: Any, stride: Any) -> Any:
    """totals + (scale * the float at an address) * values, the latter as floats, the sum rounded once."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        totals, scale, values, x_scales, stride = arguments
        integers = unpack_tuple(builder, values, signature.return_type.count)

        def add(token: int, total: Any) -> Any:
            x_scale = splat(builder, load(builder, at(builder, x_scales, token, stride), F32), TILE_ROWS)
            value = builder.sitofp(integers[token], total.type)
            return call(builder, "llvm.fma.v16f32", total.type, [builder.fmul(scale, x_scale), value, total])

        return _each(context, builder, signature, totals, add)

    return totals(totals, FLOATS, _tuple_of(INTEGERS, totals.count), types.int64, types.int64), generate


@intrinsic
def add_multiples(typing_context: Any, totals: Any, factor: Any, x: Any, stride: Any) -> Any:
    """totals + factor * the float at an address, rounded once."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        totals, factor, x, stride = arguments

        def add(token: int, total: Any) -> Any:
            each = splat(builder, load(builder, at(builder, x, token, stride), F32), TILE_ROWS)
            return call(builder, "llvm.fma.v16f32", total.type, [factor, each, total])

        return _each(context, builder, signature, totals, add)

    return totals(totals, FLOATS, types.int64, types.int64), generate


@intrinsic
def add_floats(typing_context: Any, left: Any, right: Any) -> Any:
    """left + right."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        others = unpack_tuple(builder, arguments[1], signature.return_type.count)
        return _each(context, builder, signature, arguments[0], lambda i, each: builder.fadd(each, others[i]))

    return left(left, left), generate


@intrinsic
def less_multiples(typing_context: Any, left: Any, offset: Any, right: Any) -> Any:
    """left - offset * right, as integers."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        left, offset, right = arguments
        factor = splat(builder, builder.trunc(offset, I32), TILE_ROWS)
        others = unpack_tuple(builder, right, signature.return_type.count)
        return _each(
            context, builder, signature, left, lambda i, each: builder.sub(each, builder.mul(factor, others[i]))
        )

    return left(left, types.int64, left), generate


@intrinsic
def store_rows(typing_context: Any, totals: Any, out: Any, stride: Any) -> Any:
    """Write 16 floats a token."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        totals, out, stride = arguments
        for token, total in enumerate(unpack_tuple(builder, totals, signature.args[0].count)):
            store(builder, at(builder, out, token, stride), total)
        return context.get_dummy_value()

    return types.void(totals, types.int64, types.int64), generate


@intrinsic
def load_floats(typing_context: Any, address: Any) -> Any:
    """16 floats."""
    return FLOATS(types.int64), lambda context, builder, signature, arguments: load(builder, arguments[0], FLOATS.llvm)


@intrinsic
def load_halves(typing_context: Any, address: Any) -> Any:
    """16 IEEE halves, as floats."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return halves.to_float(builder, load(builder, arguments[0], ir.VectorType(I16, TILE_ROWS)))

    return FLOATS(types.int64), generate


@intrinsic
def load_upper_halves(typing_context: Any, address: Any) -> Any:
    """16 numbers of 16 bits that are the upper halves of floats (BF16)."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        words = builder.zext(load(builder, arguments[0], ir.VectorType(I16, TILE_ROWS)), INTEGERS.llvm)
        return builder.bitcast(builder.shl(words, constant(INTEGERS.llvm, 16)), FLOATS.llvm)

    return FLOATS(types.int64), generate


@intrinsic
def opposite(typing_context: Any, value: Any) -> Any:
    """-value."""
    return value(value), lambda context, builder, signature, arguments: builder.fneg(arguments[0])


def pairs_of(first_bit: int, n_bits: int) -> Operation:
    """Makes `(address) -> pairs`: 32 bytes widened to 16 bits; signed if whole, else some bits of each, unsigned."""

    @intrinsic
    def load_pairs(typing_context: Any, address: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            small = load(builder, arguments[0], ir.VectorType(I8, 2 * TILE_ROWS))
            if n_bits == 8:
                return builder.sext(small, PAIRS.llvm)
            wide = builder.lshr(builder.zext(small, PAIRS.llvm), constant(PAIRS.llvm, first_bit))
            return builder.and_(wide, constant(PAIRS.llvm, (1 << n_bits) - 1))

        return PAIRS(types.int64), generate

    return load_pairs


def _half_of_pairs(second: bool) -> Callable[..., Any]:
    def half(typing_context: Any, pairs: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            words = builder.bitcast(arguments[0], INTEGERS.llvm)
            sixteen = constant(INTEGERS.llvm, 16)
            return builder.ashr(words if second else builder.shl(words, sixteen), sixteen)

        return INTEGERS(pairs), generate

    return half


#: The first, and the second, of each row's pair.
first_of_pairs = intrinsic(_half_of_pairs(second=False))
second_of_pairs = intrinsic(_half_of_pairs(second=True))
