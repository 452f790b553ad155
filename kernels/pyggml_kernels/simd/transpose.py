"""Sixteen rows of sixteen floats, columns as rows."""

from typing import Any

from llvmlite import ir
from numba import types

from pyggml_kernels.jit import intrinsic
from pyggml_kernels.simd.vector import FLOATS, I32, I64, TILE_ROWS, at, load, store


def _exchange(builder: Any, upper: Any, lower: Any, distance: int) -> list[Any]:
    """Two rows whose squares of so many columns off the diagonal change places."""
    lanes = range(TILE_ROWS)
    taken = (
        [lane - distance + TILE_ROWS if lane & distance else lane for lane in lanes],
        [lane + TILE_ROWS if lane & distance else lane + distance for lane in lanes],
    )
    kind = ir.VectorType(I32, TILE_ROWS)
    return [builder.shuffle_vector(upper, lower, ir.Constant(kind, each)) for each in taken]


@intrinsic
def transpose(typing_context: Any, source: Any, stride: Any, target: Any) -> Any:
    """Write the columns of 16 rows, which lie `stride` bytes apart, one behind the other."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        source, stride, target = arguments
        rows = [load(builder, at(builder, source, row, stride), FLOATS.llvm) for row in range(TILE_ROWS)]
        for distance in (8, 4, 2, 1):
            for row in range(TILE_ROWS):
                if not row & distance:
                    pair = rows[row], rows[row + distance]
                    rows[row], rows[row + distance] = _exchange(builder, *pair, distance)
        for column, values in enumerate(rows):
            store(builder, builder.add(target, I64(4 * TILE_ROWS * column)), values)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64), generate
