"""Calls of compiled code through its address, from compiled code."""

from typing import Any

from llvmlite import ir
from numba import types

from pyggml_kernels.jit import intrinsic

_INTEGER = ir.IntType(64)


def _generate_call(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    """Call the function at the address in the first argument with the others, all 64-bit integers."""
    function = ir.FunctionType(ir.VoidType(), [_INTEGER] * (len(arguments) - 1))
    builder.call(builder.inttoptr(arguments[0], function.as_pointer()), arguments[1:])
    return context.get_dummy_value()


@intrinsic
def call_operation(typing_context: Any, address: Any, arguments: Any, chunk: Any, worker: Any) -> Any:
    """Run one chunk of an operation: `kernel(arguments, chunk, worker)`."""
    return types.void(*[types.int64] * 4), _generate_call


@intrinsic
def call_decode(
    typing_context: Any, address: Any, source: Any, n_blocks: Any, levels: Any, scales: Any, minimums: Any
) -> Any:
    """Decode blocks: `decode(source, n_blocks, levels, scales, minimums)` of a `LevelFormat`."""
    return types.void(*[types.int64] * 6), _generate_call


@intrinsic
def call_split(typing_context: Any, address: Any, source: Any, n_blocks: Any, scales: Any, minimums: Any) -> Any:
    """Take integer scales out of blocks: `split(source, n_blocks, scales, minimums)` of a `Packing`."""
    return types.void(*[types.int64] * 5), _generate_call


@intrinsic
def call_transfer(typing_context: Any, address: Any, file: Any, data: Any, n_bytes: Any) -> Any:
    """The C library's `read(file, data, n_bytes)`, or `write`: the bytes that were read or written, or -1."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        small = ir.IntType(32)
        function = ir.FunctionType(small, [small, _INTEGER, _INTEGER])
        file = builder.trunc(arguments[1], small)
        return builder.call(builder.inttoptr(arguments[0], function.as_pointer()), [file, *arguments[2:]])

    return types.int32(*[types.int64] * 4), generate


@intrinsic
def call_convert(typing_context: Any, address: Any, source: Any, n: Any, out: Any) -> Any:
    """Convert numbers: `load(source, n, out)` of a `FloatFormat`, `store(source, n, out)` of a `NumberFormat`."""
    return types.void(*[types.int64] * 4), _generate_call
