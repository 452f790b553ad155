"""Eight bytes at once, in one 64-bit integer: what the decoders of levels are written in.

LLVM unrolls loops over 16 or 32 bytes into scalar code instead of vectorizing them; a word in place of eight bytes is
portable and 3 to 9 times as fast. The byte at the lowest address is the lowest of the word.
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types

from pyggml_kernels.jit import device, intrinsic

_BYTE, _WORD, _FLOAT = ir.IntType(8), ir.IntType(64), ir.FloatType()
_EIGHT_BYTES, _EIGHT_FLOATS = ir.VectorType(_BYTE, 8), ir.VectorType(_FLOAT, 8)

#: 1 in each byte; a small number times this is that number in each byte.
ONES = 0x0101010101010101
_TOP_BITS = np.uint64(0x80 * ONES)
#: Bit i in byte i.
_DIAGONAL = np.uint64(0x8040201008040201)
_LOW_HALF = np.uint64(0xFFFFFFFF)
_LOW_BYTE = np.uint64(0xFF)


@intrinsic
def load_word(typing_context: Any, address: Any) -> Any:
    """The eight bytes at an address, which need not be aligned."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.load(builder.inttoptr(arguments[0], _WORD.as_pointer()), align=1)

    return types.uint64(types.int64), generate


@intrinsic
def store_word(typing_context: Any, address: Any, word: Any) -> Any:
    """Write eight bytes to an address, which need not be aligned."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        builder.store(arguments[1], builder.inttoptr(arguments[0], _WORD.as_pointer()), align=1)
        return context.get_dummy_value()

    return types.void(types.int64, types.uint64), generate


@intrinsic
def store_products(typing_context: Any, address: Any, factor: Any, word: Any) -> Any:
    """Write eight floats: `factor` times each byte of a word, taken as signed."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        address, factor, word = arguments
        factors = ir.Constant(_EIGHT_FLOATS, ir.Undefined)
        for lane in range(8):
            factors = builder.insert_element(factors, factor, ir.Constant(ir.IntType(32), lane))
        floats = builder.sitofp(builder.bitcast(word, _EIGHT_BYTES), _EIGHT_FLOATS)
        builder.store(builder.fmul(factors, floats), builder.inttoptr(address, _EIGHT_FLOATS.as_pointer()), align=4)
        return context.get_dummy_value()

    return types.void(types.int64, types.float32, types.uint64), generate


@device
def bits(word: Any, shift: int, mask: int) -> Any:
    """Of each byte the bits from `shift` on that `mask` keeps; they must not reach beyond the byte."""
    return (word >> np.uint64(shift)) & np.uint64(mask * ONES)


@device
def raise_bits(word: Any, shift: int) -> Any:
    """Each byte times two to the power of `shift`; the products must fit into the bytes."""
    return word << np.uint64(shift)


@device
def less(word: Any, offset: int) -> Any:
    """Each byte, at most 127, less an offset in 1..127, as signed bytes."""
    return ((word | _TOP_BITS) - np.uint64(offset * ONES)) ^ _TOP_BITS


@device
def spread(flags: Any, place: int) -> Any:
    """The lowest eight bits of `flags`, one in each byte, lowest first, at bit `place` (at most 7) of it."""
    alone = ((flags & _LOW_BYTE) * np.uint64(ONES)) & _DIAGONAL
    # Adding 127 carries any bit into the top one.
    return ((alone + np.uint64(0x7F * ONES)) & _TOP_BITS) >> np.uint64(7 - place)


@device
def join(low: Any, high: Any) -> Any:
    """The four lowest bytes of one word, then the four lowest of another."""
    return (low & _LOW_HALF) | (high << np.uint64(32))


@device
def upper(word: Any) -> Any:
    """The four highest bytes, moved to the lowest; zeros above."""
    return word >> np.uint64(32)


@device
def field(word: Any, first: int, n_bits: int) -> Any:
    """The number in `n_bits` of a word, from bit `first` on."""
    return np.int64((word >> np.uint64(first)) & np.uint64((1 << n_bits) - 1))
