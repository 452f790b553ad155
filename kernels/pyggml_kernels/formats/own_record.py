"""A block in memory as a record with fields, for the functions of a format of one's own.

Numba reads fields of records by name, but has no half-precision numbers on CPUs. Here a field of them is a float when
it is read, and is rounded, ties to even, when it is assigned; so are the elements of an array of them.
"""

from collections.abc import Callable
from typing import Any, cast

import numpy as np
from llvmlite import ir
from numba import extending, types
from numba.core import cgutils, errors
from numba.core.datamodel.models import PrimitiveModel, RecordModel
from numba.core.imputils import lower_getattr_generic, lower_setattr_generic
from numba.core.typeconv.castgraph import Conversion
from numba.np.arrayobj import record_getattr, record_setattr
from numba.np.numpy_support import from_dtype

from pyggml_kernels.jit import intrinsic

Lowering = Callable[..., Any]

# Numba's, retyped.
_register_model = cast("Callable[[Any], Callable[[type], type]]", extending.register_model)
_lower_cast = cast("Callable[[Any, Any], Callable[[Lowering], Lowering]]", extending.lower_cast)
_lower_get = cast("Callable[[Any], Callable[[Lowering], Lowering]]", lower_getattr_generic)
_member_at = cast("Lowering", cgutils.get_record_member)
_lower_set = cast("Callable[[Any], Callable[[Lowering], Lowering]]", lower_setattr_generic)


class Half(types.Float):
    """An IEEE half as an element of an array; in arithmetic a float. Its name makes it float16 for NumPy, too."""

    def can_convert_to(self, typing_context: Any, other: Any) -> Any:
        """As far as a float can, but never back to a half."""
        if other == types.float32:
            return Conversion.promote
        return Conversion.safe if other == types.float64 else None

    def can_convert_from(self, typing_context: Any, other: Any) -> Any:
        """Every number can be assigned to a half."""
        return Conversion.unsafe if isinstance(other, types.Number | types.Boolean) else None

    def unify(self, typing_context: Any, other: Any) -> Any:
        """What a variable is that is now a half, now something else."""
        return typing_context.unify_pairs(types.float32, other)


HALF = Half("float16")


@_register_model(Half)
class _HalfModel(PrimitiveModel):
    """Sixteen bits."""

    def __init__(self, manager: Any, numba_type: Any) -> None:
        cast("Any", super()).__init__(manager, numba_type, ir.IntType(16))


class BlockRecord(types.Record):
    """Numba's record, but for fields that are halves."""

    def typeof(self, key: str) -> Any:
        """The type that a field has for who reads it. Raises Numba's TypingError if there is no such field."""
        if key not in self.fields:
            raise errors.TypingError(f"a block has no field {key!r}; it has {', '.join(self.fields)}")
        return types.float32 if self.is_half(key) else self.fields[key].type

    def is_half(self, key: str) -> bool:
        """Whether a field is one half in memory."""
        return bool(self.fields[key].type == HALF)


_register_model(BlockRecord)(RecordModel)


@_lower_cast(Half, types.Float)
@_lower_cast(Half, types.Integer)
def _read_half(context: Any, builder: Any, source: Any, target: Any, value: Any) -> Any:
    as_float = builder.fpext(builder.bitcast(value, ir.HalfType()), ir.FloatType())
    return context.cast(builder, as_float, types.float32, target)


@_lower_cast(types.Float, Half)
@_lower_cast(types.Integer, Half)
@_lower_cast(types.Boolean, Half)
def _round_to_half(context: Any, builder: Any, source: Any, target: Any, value: Any) -> Any:
    as_float = context.cast(builder, value, source, types.float32)
    return builder.bitcast(builder.fptrunc(as_float, ir.HalfType()), ir.IntType(16))


def _half_at(builder: Any, record: Any, block: Any, field: str) -> Any:
    return _member_at(builder, block, record.offset(field), ir.HalfType())


@_lower_get(BlockRecord)
def _get_field(context: Any, builder: Any, record: Any, block: Any, field: str) -> Any:
    if not record.is_half(field):
        return record_getattr(context, builder, record, block, field)
    return builder.fpext(builder.load(_half_at(builder, record, block, field), align=1), ir.FloatType())


@_lower_set(BlockRecord)
def _set_field(context: Any, builder: Any, signature: Any, arguments: Any, field: str) -> Any:
    record = signature.args[0]
    if not record.is_half(field):
        return record_setattr(context, builder, signature, arguments, field)
    rounded = builder.fptrunc(context.cast(builder, arguments[1], signature.args[1], types.float32), ir.HalfType())
    return builder.store(rounded, _half_at(builder, record, arguments[0], field), align=1)


def _field_type(dtype: np.dtype[Any]) -> Any:
    """What Numba takes a field for: a number, or an array of numbers."""
    element = HALF if dtype.base == np.float16 else from_dtype(dtype.base)
    return types.NestedArray(element, dtype.shape) if dtype.shape else element


def record_at(layout: np.dtype[np.void]) -> Callable[[int], Any]:
    """A helper for kernels, `block(address)`: the record of this layout at an address."""
    fields: list[tuple[str, Any]] = [
        (name, {"type": _field_type(dtype), "offset": offset, "alignment": None, "title": None})
        for name, (dtype, offset, *_) in (layout.fields or {}).items()
    ]
    record = BlockRecord(fields, layout.itemsize, False)

    @intrinsic
    def block(typing_context: Any, address: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return builder.inttoptr(arguments[0], context.get_value_type(record))

        return record(types.int64), generate

    return block
