"""Small levels and 16-bit floats of a tile written out wide, for a batch of tokens to share."""

from typing import Any

from numba import types

from pyggml_kernels.jit import intrinsic
from pyggml_kernels.simd.levels import PART_VECTORS, load_levels
from pyggml_kernels.simd.rows import Operation
from pyggml_kernels.simd.vector import I64, store


def widen_part_of(n_bits: int, table: tuple[int, ...]) -> Operation:
    """Makes `(part, out)`: the levels of 32 columns as bytes; with a table, what they stand for."""

    @intrinsic
    def widen_part(typing_context: Any, part: Any, out: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            part, out = arguments
            for vector in range(PART_VECTORS):
                store(builder, builder.add(out, I64(64 * vector)), load_levels(builder, part, vector, n_bits, table))
            return context.get_dummy_value()

        return types.void(types.int64, types.int64), generate

    return widen_part


@intrinsic
def store_floats(typing_context: Any, address: Any, values: Any) -> Any:
    """Write 16 floats."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        store(builder, arguments[0], arguments[1])
        return context.get_dummy_value()

    return types.void(types.int64, values), generate
