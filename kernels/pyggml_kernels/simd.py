"""Vector instructions, written as LLVM's portable vectors: the compiler picks what the machine has.

The only file of this package that builds vector code; kernels call these functions like any other.
"""

from typing import Any

from llvmlite import ir
from numba import types

from pyggml_kernels.jit import intrinsic

_I32 = ir.IntType(32)


def _load(builder: Any, address: Any, vector: ir.VectorType) -> Any:
    """An unaligned load."""
    value = builder.load(builder.inttoptr(address, vector.as_pointer()))
    value.align = 1
    return value


def _every_other(builder: Any, value: Any, first: int) -> Any:
    """The elements at even (`first` 0) or odd (1) places."""
    n = value.type.count
    places = ir.Constant(ir.VectorType(_I32, n // 2), [_I32(i) for i in range(first, n, 2)])
    return builder.shuffle_vector(value, ir.Constant(value.type, ir.Undefined), places)


def _sum(builder: Any, value: Any) -> Any:
    """The sum of a vector of 32-bit integers."""
    name = f"llvm.vector.reduce.add.v{value.type.count}i32"
    function = builder.module.globals.get(name) or ir.Function(
        builder.module, ir.FunctionType(_I32, [value.type]), name
    )
    return builder.call(function, [value])


def _dot_of(n: int) -> Any:
    """The dot product of two runs of `n` signed bytes, as a 32-bit integer."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        wide = ir.VectorType(_I32, n)
        left, right = (builder.sext(_load(builder, each, ir.VectorType(ir.IntType(8), n)), wide) for each in arguments)
        products = builder.mul(left, right)
        # Sums of neighbours: the form that x86 has one instruction for.
        pairs = builder.add(_every_other(builder, products, 0), _every_other(builder, products, 1))
        return _sum(builder, pairs)

    return generate


@intrinsic
def dot_32(typing_context: Any, left: Any, right: Any) -> Any:
    """The integer dot product of the 32 signed bytes at each of two addresses."""
    return types.int32(types.int64, types.int64), _dot_of(32)


@intrinsic
def dot_16(typing_context: Any, left: Any, right: Any) -> Any:
    """The integer dot product of the 16 signed bytes at each of two addresses."""
    return types.int32(types.int64, types.int64), _dot_of(16)
