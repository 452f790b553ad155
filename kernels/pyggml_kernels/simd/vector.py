"""Vectors as Numba values, and how LLVM's code for them is written.

Vectors are LLVM's, of a fixed number of lanes, so they exist on every CPU; the compiler splits them where registers are
narrower. Numba passes tuples of them as tuples: one vector for each of a few tokens.
"""

from typing import Any, cast

from llvmlite import ir
from numba import types
from numba.core.datamodel.models import PrimitiveModel
from numba.extending import register_model

#: Rows of weights in a tile: the 32-bit lanes of a 512-bit register.
TILE_ROWS = 16

I1, I8, I16, I32, I64, F16, F32, F64 = (
    ir.IntType(1),
    ir.IntType(8),
    ir.IntType(16),
    ir.IntType(32),
    ir.IntType(64),
    ir.HalfType(),
    ir.FloatType(),
    ir.DoubleType(),
)
_ELEMENTS = {
    types.boolean: I1,
    types.int8: I8,
    types.int16: I16,
    types.int32: I32,
    types.float32: F32,
    types.float64: F64,
}


class Vector(types.Type):
    """A vector of `n` numbers, or truth values, of one element type."""

    def __init__(self, element: Any, n: int) -> None:
        self.element, self.n = element, n
        super().__init__(name=f"{element}v{n}")

    @property
    def llvm(self) -> ir.VectorType:
        """The machine's type."""
        return ir.VectorType(_ELEMENTS[self.element], self.n)


@register_model(Vector)
class _VectorModel(PrimitiveModel):
    def __init__(self, manager: Any, vector: Vector) -> None:
        cast("Any", super()).__init__(manager, vector, vector.llvm)


#: Four columns of a tile.
BYTES = Vector(types.int8, 4 * TILE_ROWS)
#: Two numbers for each row of a tile.
PAIRS = Vector(types.int16, 2 * TILE_ROWS)
#: A number for each row of a tile.
INTEGERS = Vector(types.int32, TILE_ROWS)
FLOATS = Vector(types.float32, TILE_ROWS)
DOUBLES = Vector(types.float64, TILE_ROWS)


def load(builder: Any, address: Any, kind: ir.Type) -> Any:
    """An unaligned load from a 64-bit address."""
    value = builder.load(builder.inttoptr(address, kind.as_pointer()))
    value.align = 1
    return value


def store(builder: Any, address: Any, value: Any) -> None:
    """An unaligned store to a 64-bit address."""
    builder.store(value, builder.inttoptr(address, value.type.as_pointer())).align = 1


def splat(builder: Any, scalar: Any, n: int) -> Any:
    """A scalar in each of `n` lanes."""
    undefined = ir.Constant(ir.VectorType(scalar.type, n), ir.Undefined)
    first = builder.insert_element(undefined, scalar, I32(0))
    return builder.shuffle_vector(first, undefined, ir.Constant(ir.VectorType(I32, n), None))


def constant(kind: ir.VectorType, value: float) -> Any:
    """The same number in every lane."""
    return ir.Constant(kind, [value] * kind.count)


def select_lanes(builder: Any, vector: Any, lanes: list[int]) -> Any:
    """Some lanes of a vector, in that order."""
    places = ir.Constant(ir.VectorType(I32, len(lanes)), [I32(lane) for lane in lanes])
    return builder.shuffle_vector(vector, ir.Constant(vector.type, ir.Undefined), places)


def call(builder: Any, name: str, kind: ir.Type, arguments: list[Any]) -> Any:
    """Call one of LLVM's own functions."""
    function = builder.module.globals.get(name) or ir.Function(
        builder.module, ir.FunctionType(kind, [each.type for each in arguments]), name
    )
    return builder.call(function, arguments)


def at(builder: Any, address: Any, n: int, step: Any) -> Any:
    """The address `n` steps further on."""
    return builder.add(address, builder.mul(step, I64(n))) if n else address


def unpack_tuple(builder: Any, values: Any, n: int) -> list[Any]:
    """The elements of a tuple."""
    return [builder.extract_value(values, i) for i in range(n)]


def pack_tuple(context: Any, builder: Any, kind: Any, values: list[Any]) -> Any:
    """A tuple of these elements."""
    return context.make_tuple(builder, kind, values)
