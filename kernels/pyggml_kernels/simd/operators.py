"""Operators of vectors in kernels: of two vectors, or a vector and a float32.

Comparisons with a NaN are false, except `!=`, as in C.
"""

import operator
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import lower_builtin

from pyggml_kernels.simd.vector import Vector, splat

# Numba's own functions, which it does not type.
_infer_global: Any = infer_global
_lower_builtin: Any = lower_builtin
_signature: Any = signature


def same_width(builder: Any, vector: ir.VectorType, values: Any) -> list[Any]:
    """Vectors as they are and scalars in every lane."""
    return [each if isinstance(each.type, ir.VectorType) else splat(builder, each, vector.count) for each in values]


def _truths(vector: Vector) -> Vector:
    return Vector(types.boolean, vector.n)


def _register(operation: Callable[..., Any], result: Callable[[Vector], Vector], generate: Callable[..., Any]) -> None:
    """Give an operator of two float vectors, or of one and a float32, its type and its code."""

    @_infer_global(operation)
    class _Operator(AbstractTemplate):
        def generic(self, arguments: Any, keywords: Any) -> Any:
            lanes = [each for each in arguments if isinstance(each, Vector)]
            if len(arguments) != 2 or not lanes:
                return None
            if any(each not in (lanes[0], lanes[0].element) for each in arguments):
                return None
            return _signature(result(lanes[0]), *arguments)

    def lower(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        lanes = next(each for each in signature.args if isinstance(each, Vector))
        return generate(builder, *same_width(builder, lanes.llvm, arguments))

    for pair in ((Vector, Vector), (Vector, types.Float), (types.Float, Vector)):
        _lower_builtin(operation, *pair)(lower)


def _register_comparison(operation: Callable[..., Any], sign: str) -> None:
    ordered = sign != "!="

    def generate(builder: Any, left: Any, right: Any) -> Any:
        compare = builder.fcmp_ordered if ordered else builder.fcmp_unordered
        return compare(sign, left, right)

    _register(operation, _truths, generate)


for _operation, _name in (
    (operator.add, "fadd"),
    (operator.sub, "fsub"),
    (operator.mul, "fmul"),
    (operator.truediv, "fdiv"),
):
    _register(
        _operation,
        lambda lanes: lanes,
        lambda builder, left, right, name=_name: getattr(builder, name)(left, right),
    )
for _operation, _name in ((operator.lt, "<"), (operator.gt, ">"), (operator.ne, "!=")):
    _register_comparison(_operation, _name)
_register(operator.and_, lambda lanes: lanes, lambda builder, left, right: builder.and_(left, right))
