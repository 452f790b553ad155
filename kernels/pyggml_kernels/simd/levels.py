"""The levels of weights in a tile: bytes in memory, split into planes of 4, 2 or 1 bits where they are small.

A tile holds 16 rows. A part of it, 32 columns, is eight vectors of four columns each (row after row, 64 bytes), with
levels from 0 on. In memory a part takes 64 bytes for each bit of a level: 8 bits as they are; otherwise planes, the
lowest bits first. In a vector of a plane of `n` bits the lowest bits belong to one vector of levels, the next `n` bits
to the next: with 4 bits, vectors i and i + 4 are in vector i of the plane; with 2 bits, vectors 4 i to 4 i + 3; with 1
bit, all.
"""

from typing import Any

from llvmlite import ir

from pyggml_kernels.simd.cpu import tier
from pyggml_kernels.simd.vector import BYTES, I8, I16, I64, call, constant, load, select_lanes

#: Columns in a part of a tile.
PART_COLUMNS = 32
#: Vectors of levels in a part.
PART_VECTORS = 8

#: Planes by bits of a level: (bits of the plane, the lowest of them in the level).
PLANES = {
    2: ((2, 0),),
    3: ((2, 0), (1, 2)),
    4: ((4, 0),),
    5: ((4, 0), (1, 4)),
    6: ((4, 0), (2, 4)),
    8: ((8, 0),),
}


def part_bytes(n_bits: int) -> int:
    """Bytes of 32 columns of 16 rows."""
    return 64 * n_bits


def _place(n_bits: int, vector: int) -> tuple[int, int]:
    """Which vector of a plane holds a vector of levels, and from which bit on."""
    if n_bits == 4:
        return vector % 4, vector // 4 * 4
    return vector * n_bits // 8, vector * n_bits % 8


def load_levels(builder: Any, part: Any, vector: int, n_bits: int, table: tuple[int, ...]) -> Any:
    """One vector of the levels of the part at an address; with a table, the numbers that the levels stand for."""
    result, start = None, 0
    for plane_bits, lowest in PLANES[n_bits]:
        index, first_bit = _place(plane_bits, vector)
        bits = load(builder, builder.add(part, I64(start + 64 * index)), BYTES.llvm)
        if plane_bits < 8:
            bits = _bits(builder, bits, first_bit, plane_bits, lowest)
        result = bits if result is None else builder.or_(result, bits)
        start += 64 * plane_bits
    return _look_up(builder, result, table) if table else result


def _bits(builder: Any, vector: Any, first: int, n: int, target: int) -> Any:
    """`n` bits of each byte from bit `first` on, moved to bit `target` on.

    Shifts move 16-bit words, as no CPU shifts bytes; the mask drops what came from a neighbour.
    """
    words = ir.VectorType(I16, vector.type.count // 2)
    if first != target:
        shifted = builder.bitcast(vector, words)
        shift = builder.lshr if first > target else builder.shl
        vector = builder.bitcast(shift(shifted, constant(words, abs(first - target))), vector.type)
    return builder.and_(vector, constant(vector.type, ((1 << n) - 1) << target))


def _look_up(builder: Any, indices: Any, table: tuple[int, ...]) -> Any:
    """table[index] for indices below 16."""
    sixteen = ir.VectorType(I8, 16)
    values = ir.Constant(sixteen, [I8(each) for each in table])
    n = indices.type.count
    if tier() == "portable":
        result = constant(indices.type, 0)
        for index, value in enumerate(table):
            equal = builder.icmp_unsigned("==", indices, constant(indices.type, index))
            result = builder.select(equal, constant(indices.type, value), result)
        return result
    if tier() == "avx512_vnni":
        whole = select_lanes(builder, values, [i % 16 for i in range(n)])
        return call(builder, "llvm.x86.avx512.pshuf.b.512", indices.type, [whole, indices])
    half = ir.VectorType(I8, 32)
    whole = select_lanes(builder, values, [i % 16 for i in range(32)])
    parts = [
        call(builder, "llvm.x86.avx2.pshuf.b", half, [whole, select_lanes(builder, indices, list(range(i, i + 32)))])
        for i in range(0, n, 32)
    ]
    both = ir.Constant(ir.VectorType(ir.IntType(32), n), list(range(n)))
    return builder.shuffle_vector(*parts, both)
