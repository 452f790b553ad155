"""Vectors with one lane for each group of a block: float32, int32 and truth values, as Numba values.

The quantizers of the K formats try scales for each group with sums whose order decides the last bit. Groups do not
depend on each other, so a lane does what scalar code would do for its group, operation by operation. The vectors are
LLVM's portable ones: the compiler picks the instructions that the machine has, or splits them.

Operators take two vectors, or a vector and a float32. Comparisons with a NaN are false, except `!=`, as in C.
"""

import operator
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import lower_builtin

from pyggml_kernels.jit import intrinsic
from pyggml_kernels.rounding import TO_INTEGER
from pyggml_kernels.simd.vector import I8, I32, I64, Vector, call, constant, load, splat, store

# Numba's own functions, which it does not type.
_infer_global: Any = infer_global
_lower_builtin: Any = lower_builtin
_signature: Any = signature
_cgutils: Any = cgutils


def _truths(vector: Vector) -> Vector:
    return Vector(types.boolean, vector.n)


def _same_width(builder: Any, vector: ir.VectorType, values: Any) -> list[Any]:
    """Vectors as they are and scalars in every lane."""
    return [each if isinstance(each.type, ir.VectorType) else splat(builder, each, vector.count) for each in values]


# --- operators --------------------------------------------------------------------------------------------------------


def _register(
    operation: Callable[..., Any], element: Any, result: Callable[[Vector], Vector], generate: Callable[..., Any]
) -> None:
    """Give an operator of two vectors of an element type, or of one and a number of it, its type and its code."""

    @_infer_global(operation)
    class _Operator(AbstractTemplate):
        def generic(self, arguments: Any, keywords: Any) -> Any:
            vectors = [each for each in arguments if isinstance(each, Vector) and each.element == element]
            if len(arguments) != 2 or not vectors:
                return None
            if any(each not in (vectors[0], element) for each in arguments):
                return None
            return _signature(result(vectors[0]), *arguments)

    def lower(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        vector = next(each for each in signature.args if isinstance(each, Vector))
        return generate(builder, *_same_width(builder, vector.llvm, arguments))

    for pair in ((Vector, Vector), (Vector, types.Float), (types.Float, Vector)):
        _lower_builtin(operation, *pair)(lower)


def _register_comparison(operation: Callable[..., Any], sign: str) -> None:
    ordered = sign != "!="

    def generate(builder: Any, left: Any, right: Any) -> Any:
        compare = builder.fcmp_ordered if ordered else builder.fcmp_unordered
        return compare(sign, left, right)

    _register(operation, types.float32, _truths, generate)


for _operation, _name in (
    (operator.add, "fadd"),
    (operator.sub, "fsub"),
    (operator.mul, "fmul"),
    (operator.truediv, "fdiv"),
):
    _register(
        _operation,
        types.float32,
        lambda vector: vector,
        lambda builder, left, right, name=_name: getattr(builder, name)(left, right),
    )
for _operation, _name in ((operator.lt, "<"), (operator.gt, ">"), (operator.ne, "!=")):
    _register_comparison(_operation, _name)
_register(operator.and_, types.boolean, lambda vector: vector, lambda builder, left, right: builder.and_(left, right))


# --- functions --------------------------------------------------------------------------------------------------------


def _call(builder: Any, name: str, *arguments: Any) -> Any:
    """Call LLVM's intrinsic of that name for the vectors' type; its result has the same type."""
    vector = arguments[0].type
    element = {"float": "f32", "i32": "i32"}[str(vector.element)]
    return call(builder, f"llvm.{name}.v{vector.count}{element}", vector, list(arguments))


@intrinsic
def stack_memory(typing_context: Any, n_bytes: Any) -> Any:
    """The address of a constant number of bytes, aligned for vectors, that live until the caller returns."""
    if not isinstance(n_bytes, types.IntegerLiteral):
        return None
    memory_type = ir.ArrayType(I8, n_bytes.literal_value)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        memory = _cgutils.alloca_once(builder, memory_type)
        memory.align = 64
        return builder.ptrtoint(memory, I64)

    return types.int64(n_bytes), generate


@intrinsic
def lanes_of(typing_context: Any, n: Any, value: Any) -> Any:
    """A float32 in each of a constant number of lanes."""
    if not isinstance(n, types.IntegerLiteral):
        return None
    lanes = Vector(types.float32, n.literal_value)
    return lanes(n, types.float32), lambda context, builder, signature, arguments: splat(builder, arguments[1], lanes.n)


@intrinsic
def zeros(typing_context: Any, like: Any) -> Any:
    """Zero in as many lanes as `like` has."""
    return like(like), lambda context, builder, signature, arguments: constant(like.llvm, 0.0)


@intrinsic
def load_lanes(typing_context: Any, address: Any, like: Any) -> Any:
    """As many floats from an address as the vector `like` has."""
    return like(types.int64, like), lambda context, builder, signature, arguments: load(
        builder, arguments[0], like.llvm
    )


@intrinsic
def store_lanes(typing_context: Any, address: Any, lanes: Any) -> Any:
    """Write floats to an address."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        store(builder, *arguments)
        return context.get_dummy_value()

    return types.void(types.int64, lanes), generate


@intrinsic
def store_lanes_as_bytes(typing_context: Any, address: Any, lanes: Any) -> Any:
    """Write floats that are integers in -128..255 to an address, a byte each."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        integers = builder.fptosi(arguments[1], ir.VectorType(I32, lanes.n))
        store(builder, arguments[0], builder.trunc(integers, ir.VectorType(I8, lanes.n)))
        return context.get_dummy_value()

    return types.void(types.int64, lanes), generate


@intrinsic
def select(typing_context: Any, condition: Any, true: Any, false: Any) -> Any:
    """Lane by lane one of two float vectors, or one and a float32."""
    lanes = Vector(types.float32, condition.n)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.select(arguments[0], *_same_width(builder, lanes.llvm, arguments[1:]))

    return lanes(condition, true, false), generate


@intrinsic
def any_lane(typing_context: Any, condition: Any) -> Any:
    """Whether a truth vector is true in any lane."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        whole = ir.IntType(condition.n)
        return builder.icmp_unsigned("!=", builder.bitcast(arguments[0], whole), whole(0))

    return types.boolean(condition), generate


@intrinsic
def magnitude(typing_context: Any, lanes: Any) -> Any:
    """|x| in each lane."""
    return lanes(lanes), lambda context, builder, signature, arguments: _call(builder, "fabs", *arguments)


@intrinsic
def square_root(typing_context: Any, lanes: Any) -> Any:
    """The square root in each lane."""
    return lanes(lanes), lambda context, builder, signature, arguments: _call(builder, "sqrt", *arguments)


@intrinsic
def nearest_in(typing_context: Any, lanes: Any, lowest: Any, highest: Any) -> Any:
    """The nearest integer, ties to even, then bounded; as ggml does it, also where there is no nearest one.

    1.5 * 2**23 is added, the integer stands in the low 23 bits of the sum. A NaN gives 0, an infinity -2**22, a number
    beyond 2**22 anything.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        integers = ir.VectorType(I32, lanes.n)
        bits = builder.bitcast(builder.fadd(arguments[0], constant(lanes.llvm, float(TO_INTEGER))), integers)
        low = builder.and_(bits, constant(integers, 0x007FFFFF))
        found = builder.sub(low, constant(integers, 0x00400000))
        bounds = [splat(builder, builder.trunc(each, I32), lanes.n) for each in arguments[1:]]
        bounded = _call(builder, "smin", _call(builder, "smax", found, bounds[0]), bounds[1])
        return builder.sitofp(bounded, lanes.llvm)

    return lanes(lanes, types.int64, types.int64), generate
