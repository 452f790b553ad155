"""Memory as kernels see it: arrays over bare addresses, and the two 16-bit float types."""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.np.numpy_support import carray

from pyggml_kernels.jit import device, intrinsic
from pyggml_kernels.simd import halves

# Typed as Any: Numba gives these functions a meaning of their own, which Python's type system cannot see.


@intrinsic
def _pointer(typing_context: Any, address: Any) -> Any:
    """A 64-bit integer as a void pointer."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], ir.IntType(8).as_pointer())

    return types.voidptr(types.int64), generate


@device
def u8(address: int, n: int) -> Any:
    """The `n` unsigned bytes at `address`."""
    return carray(_pointer(address), (n,), np.uint8)


@device
def i8(address: int, n: int) -> Any:
    """The `n` signed bytes at `address`."""
    return carray(_pointer(address), (n,), np.int8)


@device
def u16(address: int, n: int) -> Any:
    """The `n` unsigned 16-bit integers at `address`."""
    return carray(_pointer(address), (n,), np.uint16)


@device
def i16(address: int, n: int) -> Any:
    """The `n` 16-bit integers at `address`."""
    return carray(_pointer(address), (n,), np.int16)


@device
def u32(address: int, n: int) -> Any:
    """The `n` unsigned 32-bit integers at `address`."""
    return carray(_pointer(address), (n,), np.uint32)


@device
def i32(address: int, n: int) -> Any:
    """The `n` 32-bit integers at `address`."""
    return carray(_pointer(address), (n,), np.int32)


@device
def i64(address: int, n: int) -> Any:
    """The `n` 64-bit integers at `address`."""
    return carray(_pointer(address), (n,), np.int64)


@device
def f32(address: int, n: int) -> Any:
    """The `n` floats at `address`."""
    return carray(_pointer(address), (n,), np.float32)


@device
def f64(address: int, n: int) -> Any:
    """The `n` doubles at `address`."""
    return carray(_pointer(address), (n,), np.float64)


@intrinsic
def half_to_float(typing_context: Any, bits: Any) -> Any:
    """The float that an IEEE half has, given the half's 16 bits as uint16."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return halves.to_float(builder, arguments[0])

    return types.float32(types.uint16), generate


@intrinsic
def float_to_half(typing_context: Any, value: Any) -> Any:
    """The 16 bits of the half nearest to a float, ties to even."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return halves.from_float(builder, arguments[0])

    return types.uint16(types.float32), generate


@intrinsic
def float_to_half_plain_nan(typing_context: Any, value: Any) -> Any:
    """The 16 bits of the half nearest to a float, ties to even; of a NaN only the sign is kept."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return halves.from_float_plain_nan(builder, arguments[0])

    return types.uint16(types.float32), generate


@intrinsic
def float_bits(typing_context: Any, value: Any) -> Any:
    """The 32 bits of a float."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], ir.IntType(32))

    return types.uint32(types.float32), generate


@intrinsic
def bits_float(typing_context: Any, bits: Any) -> Any:
    """The float of 32 bits."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], ir.FloatType())

    return types.float32(types.uint32), generate


@intrinsic
def bits_double(typing_context: Any, bits: Any) -> Any:
    """The double of 64 bits."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], ir.DoubleType())

    return types.float64(types.int64), generate


@device
def load_half(data: Any, offset: int) -> Any:
    """The float of the little-endian half at a byte offset of a byte array."""
    return half_to_float(np.uint16(data[offset]) | np.uint16(np.uint16(data[offset + 1]) << np.uint16(8)))
