"""Sums of products of small integers, the heart of every product with quantized weights, in three tiers.

`avx512_vnni` has one instruction for each. `avx2` multiplies bytes in pairs (maddubs), whose sums fit 16 bits only if
the unsigned factors stay below 128; where they do not, it multiplies 16-bit numbers. `portable` is written out.
"""

from typing import Any

import llvmlite.binding
from llvmlite import ir

from pyggml_kernels.simd.cpu import tier
from pyggml_kernels.simd.vector import I16, I32, call, constant, select_lanes


def dot_4(builder: Any, total: Any, unsigned: Any, signed: Any, n_bits: int) -> Any:
    """total[lane] + the sum of four products of an unsigned byte, below 2 ** `n_bits`, and a signed byte."""
    if tier() == "avx512_vnni":
        # From LLVM 22 on the operands are vectors of bytes; before, they were vectors of 32-bit integers.
        if llvmlite.binding.llvm_version_info < (22, 0, 0):
            unsigned, signed = builder.bitcast(unsigned, total.type), builder.bitcast(signed, total.type)
        return call(builder, "llvm.x86.avx512.vpdpbusd.512", total.type, [total, unsigned, signed])
    if tier() == "avx2" and n_bits < 8:
        return _dot_4_avx2(builder, total, unsigned, signed)
    return _dot_4_of_words(builder, total, unsigned, signed)


def _halves(builder: Any, vector: Any) -> list[Any]:
    n = vector.type.count
    return [select_lanes(builder, vector, list(range(first, first + n // 2))) for first in (0, n // 2)]


def _join(builder: Any, low: Any, high: Any) -> Any:
    n = 2 * low.type.count
    return builder.shuffle_vector(low, high, ir.Constant(ir.VectorType(I32, n), [I32(i) for i in range(n)]))


def _dot_4_avx2(builder: Any, total: Any, unsigned: Any, signed: Any) -> Any:
    """256 bits at a time: pairs of products, then pairs of those."""
    pairs, fours = ir.VectorType(I16, 16), ir.VectorType(I32, 8)
    sums = []
    for left, right in zip(_halves(builder, unsigned), _halves(builder, signed), strict=True):
        products = call(builder, "llvm.x86.avx2.pmadd.ub.sw", pairs, [left, right])
        sums.append(call(builder, "llvm.x86.avx2.pmadd.wd", fours, [products, constant(pairs, 1)]))
    return builder.add(total, _join(builder, *sums))


def _dot_4_of_words(builder: Any, total: Any, unsigned: Any, signed: Any) -> Any:
    """The even and the odd bytes of each 16-bit word, as 16-bit numbers."""
    words = ir.VectorType(I16, unsigned.type.count // 2)
    left, right = builder.bitcast(unsigned, words), builder.bitcast(signed, words)
    eight = constant(words, 8)
    even = dot_2(
        builder,
        total,
        builder.and_(left, constant(words, 0xFF)),
        builder.ashr(builder.shl(right, eight), eight),
    )
    return dot_2(builder, even, builder.lshr(left, eight), builder.ashr(right, eight))


def dot_2(builder: Any, total: Any, left: Any, right: Any) -> Any:
    """total[lane] + the sum of two products of signed 16-bit numbers."""
    if tier() == "avx512_vnni":
        if llvmlite.binding.llvm_version_info < (22, 0, 0):
            left, right = builder.bitcast(left, total.type), builder.bitcast(right, total.type)
        return call(builder, "llvm.x86.avx512.vpdpwssd.512", total.type, [total, left, right])
    if tier() == "avx2":
        fours = ir.VectorType(I32, 8)
        sums = [
            call(builder, "llvm.x86.avx2.pmadd.wd", fours, [a, b])
            for a, b in zip(_halves(builder, left), _halves(builder, right), strict=True)
        ]
        return builder.add(total, _join(builder, *sums))
    n = left.type.count
    wide = ir.VectorType(I32, n)
    products = builder.mul(builder.sext(left, wide), builder.sext(right, wide))
    even, odd = (select_lanes(builder, products, list(range(first, n, 2))) for first in (0, 1))
    return builder.add(total, builder.add(even, odd))
