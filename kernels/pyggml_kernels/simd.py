"""Vector instructions: the only file of this package that builds vector code or asks what the CPU has.

Vectors are LLVM's, of a fixed number of lanes, so they exist on every CPU; the compiler splits them where registers are
narrower. One operation, the sum of products of bytes (`_dot_4`), is a single instruction on CPUs with AVX-512 VNNI;
elsewhere it is written out. `PYGGML_SIMD=portable` chooses the latter anywhere.
"""

import os
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import llvmlite.binding
from llvmlite import ir
from numba import types
from numba.core import cgutils as untyped_cgutils

from pyggml_kernels.jit import intrinsic

#: Rows of weights in a tile: the 32-bit lanes of a 512-bit register.
TILE_ROWS = 16
#: Tokens that a tile is multiplied with at once: with their sums they fill the registers.
TILE_TOKENS = 6

# Numba gives some of these functions types and others none.
cgutils: Any = untyped_cgutils

_I8, _I16, _I32, _I64, _F32 = ir.IntType(8), ir.IntType(16), ir.IntType(32), ir.IntType(64), ir.FloatType()
_BYTES = ir.VectorType(_I8, 4 * TILE_ROWS)
_INTEGERS = ir.VectorType(_I32, TILE_ROWS)
_FLOATS = ir.VectorType(_F32, TILE_ROWS)


@lru_cache(maxsize=1)
def tier() -> str:
    """What `_dot_4` is made of on this CPU: `avx512_vnni` or `portable`."""
    features = llvmlite.binding.get_host_cpu_features()
    best = "avx512_vnni" if features.get("avx512vnni") and features.get("avx512f") else "portable"
    chosen = os.environ.get("PYGGML_SIMD") or best
    if chosen not in ("portable", best):
        raise ValueError(f"PYGGML_SIMD is {chosen!r}; allowed on this CPU: {', '.join(sorted({'portable', best}))}")
    return chosen


def _load(builder: Any, address: Any, kind: ir.Type) -> Any:
    """An unaligned load."""
    value = builder.load(builder.inttoptr(address, kind.as_pointer()))
    value.align = 1
    return value


def _store(builder: Any, address: Any, value: Any) -> None:
    """An unaligned store."""
    builder.store(value, builder.inttoptr(address, value.type.as_pointer())).align = 1


def _splat(builder: Any, scalar: Any, lanes: int) -> Any:
    """A vector of one value."""
    undefined = ir.Constant(ir.VectorType(scalar.type, lanes), ir.Undefined)
    first = builder.insert_element(undefined, scalar, _I32(0))
    return builder.shuffle_vector(first, undefined, ir.Constant(ir.VectorType(_I32, lanes), None))


def _every(builder: Any, value: Any, step: int, first: int) -> Any:
    """The elements at places `first`, `first + step`, ..."""
    n = value.type.count
    places = ir.Constant(ir.VectorType(_I32, n // step), [_I32(i) for i in range(first, n, step)])
    return builder.shuffle_vector(value, ir.Constant(value.type, ir.Undefined), places)


def _part(builder: Any, value: Any, first: int, n: int) -> Any:
    """`n` neighbouring elements."""
    places = ir.Constant(ir.VectorType(_I32, n), [_I32(first + i) for i in range(n)])
    return builder.shuffle_vector(value, ir.Constant(value.type, ir.Undefined), places)


def _call(builder: Any, name: str, kind: ir.Type, arguments: list[Any]) -> Any:
    """Call one of LLVM's own functions."""
    function = builder.module.globals.get(name) or ir.Function(
        builder.module, ir.FunctionType(kind, [each.type for each in arguments]), name
    )
    return builder.call(function, arguments)


def _fma(builder: Any, x: Any, y: Any, z: Any) -> Any:
    """x * y + z in every lane, rounded once."""
    return _call(builder, f"llvm.fma.v{x.type.count}f32", x.type, [x, y, z])


def _dot_4(builder: Any, total: Any, unsigned: Any, signed: Any) -> Any:
    """total[lane] + the sum of four products of an unsigned and a signed byte."""
    integers, n = total.type, total.type.count
    if tier() == "avx512_vnni":
        # From LLVM 22 on the operands are vectors of bytes; before, they were vectors of 32-bit integers.
        if llvmlite.binding.llvm_version_info < (22, 0, 0):
            unsigned, signed = builder.bitcast(unsigned, integers), builder.bitcast(signed, integers)
        return _call(builder, f"llvm.x86.avx512.vpdpbusd.{32 * n}", integers, [total, unsigned, signed])
    # Products of bytes fit 16 bits; sums of four of them do not.
    wide = ir.VectorType(_I16, 4 * n)
    products = builder.mul(builder.zext(unsigned, wide), builder.sext(signed, wide))
    for first in range(4):
        total = builder.add(total, builder.sext(_every(builder, products, 4, first), integers))
    return total


def _sums_of_four(builder: Any, vectors: list[Any]) -> Any:
    """The sums of four vectors of integers, as a vector of four."""
    folded = []
    for vector in vectors:
        while (n := vector.type.count) > 4:
            vector = builder.add(_part(builder, vector, 0, n // 2), _part(builder, vector, n // 2, n // 2))
        folded.append(vector)
    while len(folded) > 1:
        folded = [_add_neighbours(builder, *folded[i : i + 2]) for i in range(0, len(folded), 2)]
    return folded[0]


def _add_neighbours(builder: Any, left: Any, right: Any) -> Any:
    """The sums of neighbouring elements of two vectors of four, of the left one first."""
    even, odd = (ir.Constant(ir.VectorType(_I32, 4), [_I32(first + i) for i in (0, 2, 4, 6)]) for first in (0, 1))
    return builder.add(builder.shuffle_vector(left, right, even), builder.shuffle_vector(left, right, odd))


@intrinsic
def sum_bytes(typing_context: Any, tile: Any, n_steps: Any, out: Any) -> Any:
    """Store, for each of the 16 rows of a tile, -128 times the sum of its next `n_steps` * 4 signed bytes."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        tile, n_steps, out = arguments
        total = cgutils.alloca_once_value(builder, ir.Constant(_INTEGERS, None))
        ones = _splat(builder, _I8(1), 4 * TILE_ROWS)
        with cgutils.for_range(builder, n_steps) as loop:
            weights = _load(builder, builder.add(tile, builder.mul(loop.index, _I64(64))), _BYTES)
            builder.store(_dot_4(builder, builder.load(total), ones, weights), total)
        _store(builder, out, builder.mul(builder.load(total), _splat(builder, _I32(-128), TILE_ROWS)))
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64), generate


def _for_blocks(builder: Any, n_groups: Any, per_block: Any, begin: Any, add_group: Any, end: Any) -> None:
    """Groups in blocks of `per_block`: `begin` and `end` once for each block, `add_group` for each group."""
    n_blocks = builder.udiv(builder.add(n_groups, builder.sub(per_block, _I64(1))), per_block)
    with cgutils.for_range(builder, n_blocks) as blocks:
        first = builder.mul(blocks.index, per_block)
        left = builder.sub(n_groups, first)
        count = builder.select(builder.icmp_signed("<", left, per_block), left, per_block)
        begin()
        with cgutils.for_range(builder, count) as groups:
            add_group(builder.add(first, groups.index))
        end()


def _multiply_four_rows_of(group_size: int, has_minimum: bool) -> Callable[..., Any]:
    """Four rows times one token. See `multiply_four_rows_32`."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        levels, row_bytes, scales, minimums, x, corrections, x_scales, x_sums, n_groups, per_block, out = arguments
        bytes_type, integers = ir.VectorType(_I8, group_size), ir.VectorType(_I32, group_size // 4)
        floats = ir.VectorType(_F32, 4)
        zero = ir.Constant(floats, None)
        total, part = (cgutils.alloca_once_value(builder, zero) for _ in range(2))
        offset = _splat(builder, _I8(-128), group_size)

        def add_group(group: Any) -> None:
            token = _load(builder, builder.add(x, builder.mul(group, _I64(group_size))), bytes_type)
            place = builder.add(levels, builder.mul(group, _I64(group_size)))
            sums = []
            for row in range(4):
                weights = _load(builder, builder.add(place, builder.mul(_I64(row), row_bytes)), bytes_type)
                # Signed bytes plus 128 are unsigned; the corrections take the 128 back.
                sums.append(_dot_4(builder, ir.Constant(integers, None), builder.xor(weights, offset), token))
            single, four = builder.mul(group, _I64(4)), builder.mul(group, _I64(16))
            correction = _splat(builder, _load(builder, builder.add(corrections, single), _I32), 4)
            dots = builder.sitofp(builder.add(_sums_of_four(builder, sums), correction), floats)
            x_scale = _splat(builder, _load(builder, builder.add(x_scales, single), _F32), 4)
            scale = builder.fmul(_load(builder, builder.add(scales, four), floats), x_scale)
            result = _fma(builder, dots, scale, builder.load(part))
            if has_minimum:
                x_sum = _splat(builder, _load(builder, builder.add(x_sums, single), _F32), 4)
                minimum = _load(builder, builder.add(minimums, four), floats)
                result = _fma(builder, minimum, builder.fneg(x_sum), result)
            builder.store(result, part)

        _for_blocks(
            builder,
            n_groups,
            per_block,
            lambda: builder.store(zero, part),
            add_group,
            lambda: builder.store(builder.fadd(builder.load(total), builder.load(part)), total),
        )
        _store(builder, out, builder.load(total))
        return context.get_dummy_value()

    return generate


_FOUR_ROWS_SIGNATURE = types.void(*[types.int64] * 11)


@intrinsic
def multiply_four_rows_32(
    typing_context: Any,
    levels: Any,
    row_bytes: Any,
    scales: Any,
    minimums: Any,
    x: Any,
    corrections: Any,
    x_scales: Any,
    x_sums: Any,
    n_groups: Any,
    per_block: Any,
    out: Any,
) -> Any:
    """Four rows times one token, in groups of 32 columns without minimums; the bits that `multiply_tile_32` gives.

    All arguments are 64-bit integers. levels: signed bytes, `row_bytes` from row to row; scales, minimums: f32
    (groups, 4); x: signed bytes; corrections: i32 (groups,), -128 times the sum of x's bytes; x_scales, x_sums: f32
    (groups,); out: f32 (4,).
    """
    return _FOUR_ROWS_SIGNATURE, _multiply_four_rows_of(32, has_minimum=False)


@intrinsic
def multiply_four_rows_32_with_minimums(
    typing_context: Any,
    levels: Any,
    row_bytes: Any,
    scales: Any,
    minimums: Any,
    x: Any,
    corrections: Any,
    x_scales: Any,
    x_sums: Any,
    n_groups: Any,
    per_block: Any,
    out: Any,
) -> Any:
    """As `multiply_four_rows_32`, with minimums."""
    return _FOUR_ROWS_SIGNATURE, _multiply_four_rows_of(32, has_minimum=True)


@intrinsic
def multiply_four_rows_16(
    typing_context: Any,
    levels: Any,
    row_bytes: Any,
    scales: Any,
    minimums: Any,
    x: Any,
    corrections: Any,
    x_scales: Any,
    x_sums: Any,
    n_groups: Any,
    per_block: Any,
    out: Any,
) -> Any:
    """As `multiply_four_rows_32`, in groups of 16 columns."""
    return _FOUR_ROWS_SIGNATURE, _multiply_four_rows_of(16, has_minimum=False)


@intrinsic
def multiply_four_rows_16_with_minimums(
    typing_context: Any,
    levels: Any,
    row_bytes: Any,
    scales: Any,
    minimums: Any,
    x: Any,
    corrections: Any,
    x_scales: Any,
    x_sums: Any,
    n_groups: Any,
    per_block: Any,
    out: Any,
) -> Any:
    """As `multiply_four_rows_16`, with minimums."""
    return _FOUR_ROWS_SIGNATURE, _multiply_four_rows_of(16, has_minimum=True)


def _multiply_floats_of(n_rows: int, n_tokens: int) -> Callable[..., Any]:
    """Rows times tokens, all as floats. See `multiply_floats_4_4`."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        weights, weight_bytes, x, x_bytes, n_columns, out, out_bytes = arguments
        zero = ir.Constant(_FLOATS, None)
        sums = [[cgutils.alloca_once_value(builder, zero) for _ in range(n_tokens)] for _ in range(n_rows)]

        def row_of(start: Any, index: int, stride: Any) -> Any:
            return builder.add(start, builder.mul(_I64(index), stride))

        with cgutils.for_range(builder, builder.udiv(n_columns, _I64(TILE_ROWS))) as loop:
            place = builder.mul(loop.index, _I64(4 * TILE_ROWS))
            tokens = [_load(builder, builder.add(row_of(x, t, x_bytes), place), _FLOATS) for t in range(n_tokens)]
            for row in range(n_rows):
                w = _load(builder, builder.add(row_of(weights, row, weight_bytes), place), _FLOATS)
                for token in range(n_tokens):
                    total = sums[row][token]
                    builder.store(_fma(builder, w, tokens[token], builder.load(total)), total)
        for row in range(n_rows):
            for token in range(n_tokens):
                total = builder.load(sums[row][token])
                while total.type != _F32 and total.type.count > 2:
                    half = total.type.count // 2
                    total = builder.fadd(_part(builder, total, 0, half), _part(builder, total, half, half))
                first, second = (builder.extract_element(total, _I32(i)) for i in range(2))
                target = builder.add(row_of(out, token, out_bytes), _I64(4 * row))
                _store(builder, target, builder.fadd(first, second))
        return context.get_dummy_value()

    return generate


_FLOATS_SIGNATURE = types.void(*[types.int64] * 7)


@intrinsic
def multiply_floats_4_4(
    typing_context: Any,
    weights: Any,
    weight_bytes: Any,
    x: Any,
    x_bytes: Any,
    n_columns: Any,
    out: Any,
    out_bytes: Any,
) -> Any:
    """Four rows of float weights times four tokens.

    All arguments are 64-bit integers. weights, x: f32, `*_bytes` from row to row; out: for each token four floats,
    `out_bytes` from token to token. Only whole runs of 16 columns count: the rest is the caller's. Each result has 16
    partial sums, of columns that are 16 apart.
    """
    return _FLOATS_SIGNATURE, _multiply_floats_of(4, 4)


@intrinsic
def multiply_floats_4_1(
    typing_context: Any,
    weights: Any,
    weight_bytes: Any,
    x: Any,
    x_bytes: Any,
    n_columns: Any,
    out: Any,
    out_bytes: Any,
) -> Any:
    """As `multiply_floats_4_4`, with one token: the same bits."""
    return _FLOATS_SIGNATURE, _multiply_floats_of(4, 1)


def _multiply_tile_of(steps: int, has_minimum: bool) -> Callable[..., Any]:
    """A tile times `TILE_TOKENS` tokens, with groups of 4 * `steps` columns. See `multiply_tile_32`."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        tile, scales, minimums, corrections, x, x_bytes, x_scales, x_sums, scale_bytes, n_groups, per_block, out = (
            arguments
        )
        zero = ir.Constant(_FLOATS, None)
        totals = [cgutils.alloca_once_value(builder, zero) for _ in range(TILE_TOKENS)]
        parts = [cgutils.alloca_once_value(builder, zero) for _ in range(TILE_TOKENS)]

        def offset(start: Any, index: Any, stride: Any) -> Any:
            return builder.add(start, builder.mul(index, stride))

        def add_group(group: Any) -> None:
            rows = builder.mul(group, _I64(4 * TILE_ROWS))
            sums = [_load(builder, builder.add(corrections, rows), _INTEGERS)] * TILE_TOKENS
            for step in range(steps):
                place = offset(tile, builder.add(builder.mul(group, _I64(steps)), _I64(step)), _I64(64))
                weights = _load(builder, place, _BYTES)
                for token in range(TILE_TOKENS):
                    start = offset(offset(x, _I64(token), x_bytes), group, _I64(4 * steps))
                    four = _load(builder, builder.add(start, _I64(4 * step)), _I32)
                    sums[token] = _dot_4(
                        builder, sums[token], builder.bitcast(_splat(builder, four, TILE_ROWS), _BYTES), weights
                    )
            scale = _load(builder, builder.add(scales, rows), _FLOATS)
            for token in range(TILE_TOKENS):
                place = offset(offset(_I64(0), _I64(token), scale_bytes), group, _I64(4))
                x_scale = _splat(builder, _load(builder, builder.add(x_scales, place), _F32), TILE_ROWS)
                part = _fma(
                    builder,
                    builder.sitofp(sums[token], _FLOATS),
                    builder.fmul(scale, x_scale),
                    builder.load(parts[token]),
                )
                if has_minimum:
                    x_sum = _splat(builder, _load(builder, builder.add(x_sums, place), _F32), TILE_ROWS)
                    part = _fma(
                        builder, _load(builder, builder.add(minimums, rows), _FLOATS), builder.fneg(x_sum), part
                    )
                builder.store(part, parts[token])

        def begin() -> None:
            for part in parts:
                builder.store(zero, part)

        def end() -> None:
            for total, part in zip(totals, parts, strict=True):
                builder.store(builder.fadd(builder.load(total), builder.load(part)), total)

        _for_blocks(builder, n_groups, per_block, begin, add_group, end)
        for token, total in enumerate(totals):
            _store(builder, builder.add(out, _I64(token * 4 * TILE_ROWS)), builder.load(total))
        return context.get_dummy_value()

    return generate


_TILE_SIGNATURE = types.void(*[types.int64] * 12)


@intrinsic
def multiply_tile_32(
    typing_context: Any,
    tile: Any,
    scales: Any,
    minimums: Any,
    corrections: Any,
    x: Any,
    x_bytes: Any,
    x_scales: Any,
    x_sums: Any,
    scale_bytes: Any,
    n_groups: Any,
    per_block: Any,
    out: Any,
) -> Any:
    """A tile of 16 rows times 6 tokens, in groups of 32 columns without minimums.

    All arguments are 64-bit integers. tile: signed bytes (columns / 4, 16 rows, 4); scales, minimums: f32 (groups, 16);
    corrections: i32 (groups, 16), what a dot product begins with; x: unsigned bytes, `x_bytes` from token to token;
    x_scales, x_sums: f32, `scale_bytes` from token to token; out: f32 (6, 16). Groups are summed in blocks of
    `per_block`, so that rounding errors do not grow with the length of a row.
    """
    return _TILE_SIGNATURE, _multiply_tile_of(8, has_minimum=False)


@intrinsic
def multiply_tile_32_with_minimums(
    typing_context: Any,
    tile: Any,
    scales: Any,
    minimums: Any,
    corrections: Any,
    x: Any,
    x_bytes: Any,
    x_scales: Any,
    x_sums: Any,
    scale_bytes: Any,
    n_groups: Any,
    per_block: Any,
    out: Any,
) -> Any:
    """As `multiply_tile_32`, with minimums."""
    return _TILE_SIGNATURE, _multiply_tile_of(8, has_minimum=True)


@intrinsic
def multiply_tile_16(
    typing_context: Any,
    tile: Any,
    scales: Any,
    minimums: Any,
    corrections: Any,
    x: Any,
    x_bytes: Any,
    x_scales: Any,
    x_sums: Any,
    scale_bytes: Any,
    n_groups: Any,
    per_block: Any,
    out: Any,
) -> Any:
    """As `multiply_tile_32`, in groups of 16 columns."""
    return _TILE_SIGNATURE, _multiply_tile_of(4, has_minimum=False)


@intrinsic
def multiply_tile_16_with_minimums(
    typing_context: Any,
    tile: Any,
    scales: Any,
    minimums: Any,
    corrections: Any,
    x: Any,
    x_bytes: Any,
    x_scales: Any,
    x_sums: Any,
    scale_bytes: Any,
    n_groups: Any,
    per_block: Any,
    out: Any,
) -> Any:
    """As `multiply_tile_16`, with minimums."""
    return _TILE_SIGNATURE, _multiply_tile_of(4, has_minimum=True)
