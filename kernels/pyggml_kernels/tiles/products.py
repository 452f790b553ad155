"""A tile times a few tokens: the inner loops, made for each layout and number of tokens.

Every function made here is called with `(tile, tokens, out, out_stride)` and writes 16 floats a token. It gives a token
the same bits however many others there are: sums of integers are exact, and the floats are added in the same order.
"""

from typing import Any

from pyggml_kernels.jit import device
from pyggml_kernels.simd.levels import PART_COLUMNS, PART_VECTORS, part_bytes
from pyggml_kernels.simd.rows import (
    Operation,
    add_floats,
    add_multiples,
    add_pairs,
    add_products,
    add_scaled,
    dots_of,
    first_of_pairs,
    less_multiples,
    load_floats,
    load_halves,
    opposite,
    pairs_of,
    second_of_pairs,
    start_dots,
    store_rows,
    zeros_of,
)
from pyggml_kernels.simd.vector import FLOATS, INTEGERS
from pyggml_kernels.tiles.layout import HALVES_BYTES, INTEGER_BLOCK, TileLayout
from pyggml_kernels.tiles.operands import Tile, Tokens

#: Columns whose products are summed up before they join the total, so that rounding errors do not grow with a row.
_SUM_COLUMNS = 256
#: Bytes of 16 floats.
_FLOATS_BYTES = 64


def integer_product(layout: TileLayout, n_tokens: int) -> Operation:
    """A product with integer scales: within 256 columns all sums are exact."""
    part_step, group_vectors = part_bytes(layout.n_bits), layout.group_size // 4
    first_dots = dots_of(layout.n_bits, layout.table, 0, group_vectors)
    second_dots = dots_of(layout.n_bits, layout.table, PART_VECTORS - group_vectors, PART_VECTORS)
    n_pairs, pair_columns = INTEGER_BLOCK // (2 * layout.group_size), 2 * layout.group_size
    # A pair of groups is two parts, or the two halves of one.
    second_columns = pair_columns - PART_COLUMNS
    second_step = part_step * second_columns // PART_COLUMNS
    pair_bytes = part_step + second_step
    scale_pairs = pairs_of(0, 4 if layout.shared_bytes else 8)
    minimum_pairs = pairs_of(4, 4) if layout.shared_bytes else scale_pairs
    minimums_at, halves_at = layout.minimum_bytes, layout.group_bytes + layout.minimum_bytes
    has_minimum = layout.has_minimum
    integers, floats = zeros_of(INTEGERS, n_tokens), zeros_of(FLOATS, n_tokens)

    @device
    def product(tile: Tile, tokens: Tokens, out: int, out_stride: int) -> None:
        levels, scales = tile.levels, tile.scales
        x, x_scales, sums = tokens.levels, tokens.scales, tokens.sums
        total: Any = floats()
        for _ in range(tile.n_columns // INTEGER_BLOCK):
            dots: Any = integers()
            corrections: Any = integers()
            for pair in range(n_pairs):
                pairs, part = scale_pairs(scales + pair * 32), levels + pair * pair_bytes
                first = first_dots(integers(), part, x, tokens.level_stride)
                second = second_dots(integers(), part + second_step, x + second_columns, tokens.level_stride)
                dots = add_products(dots, first_of_pairs(pairs), first)
                dots = add_products(dots, second_of_pairs(pairs), second)
                others = minimum_pairs(scales + minimums_at + pair * 32) if has_minimum else pairs
                corrections = add_pairs(corrections, others, sums, tokens.sum_stride)
                x += pair_columns
                sums += 4
            scale = load_halves(scales + halves_at)
            if has_minimum:
                total = add_scaled(total, scale, dots, x_scales, tokens.scale_stride)
                minimum = opposite(load_halves(scales + halves_at + HALVES_BYTES))
                total = add_scaled(total, minimum, corrections, x_scales, tokens.scale_stride)
            else:
                exact = less_multiples(dots, tile.offset, corrections)
                total = add_scaled(total, scale, exact, x_scales, tokens.scale_stride)
            levels += tile.level_stride
            scales += tile.scale_stride
            x_scales += 4
        store_rows(total, out, out_stride)

    return product


def float_product(layout: TileLayout, n_tokens: int, *, halves: bool = True) -> Operation:
    """A product with float scales, in memory halves or floats; those of a part's groups follow each other."""
    n_groups, group_vectors = PART_COLUMNS // layout.group_size, layout.group_size // 4
    first_dots = dots_of(layout.n_bits, layout.table, 0, group_vectors)
    second_dots = dots_of(layout.n_bits, layout.table, PART_VECTORS - group_vectors, PART_VECTORS)
    has_minimum = layout.has_minimum
    load_scales, minimum_step = (load_halves, HALVES_BYTES) if halves else (load_floats, _FLOATS_BYTES)
    second_step = minimum_step * (1 + has_minimum)
    integers, floats = zeros_of(INTEGERS, n_tokens), zeros_of(FLOATS, n_tokens)

    @device
    def add_group(total: Any, dots: Any, scales: int, x_scale: int, shifts: int, tokens: Tokens) -> Any:
        result = add_scaled(total, load_scales(scales), dots, x_scale, tokens.scale_stride)
        if has_minimum:
            return add_multiples(result, opposite(load_scales(scales + minimum_step)), shifts, tokens.shift_stride)
        return result

    @device
    def product(tile: Tile, tokens: Tokens, out: int, out_stride: int) -> None:
        levels, scales = tile.levels, tile.scales
        sums, shifts = tokens.sums, tokens.shifts
        total: Any = floats()
        for start in range(0, tile.n_columns, _SUM_COLUMNS):
            partial: Any = floats()
            for column in range(start, min(start + _SUM_COLUMNS, tile.n_columns), PART_COLUMNS):
                x, x_scale = tokens.levels + column, tokens.scales + column // tokens.scale_columns * 4
                dots: Any = start_dots(integers(), tile.offset, sums, tokens.sum_stride)
                dots = first_dots(dots, levels, x, tokens.level_stride)
                partial = add_group(partial, dots, scales, x_scale, shifts, tokens)
                if n_groups == 2:
                    dots = start_dots(integers(), tile.offset, sums + 2, tokens.sum_stride)
                    dots = second_dots(dots, levels, x, tokens.level_stride)
                    partial = add_group(partial, dots, scales + second_step, x_scale, shifts + 4, tokens)
                levels += tile.level_stride
                scales += tile.scale_stride
                sums += 2 * n_groups
                shifts += 4 * n_groups
            total = add_floats(total, partial)
        store_rows(total, out, out_stride)

    return product
