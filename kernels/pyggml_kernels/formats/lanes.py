"""Vectors with one lane for each group of a block: float32, int32 and truth values, as Numba values.

The quantizers of the K formats try scales for each group with sums whose order decides the last bit. Groups do not
depend on each other, so a lane does what scalar code would do for its group, operation by operation. The vectors are
LLVM's portable ones: the compiler picks the instructions that the machine has, or splits them.

Their operators are those of `simd.operators`.
"""

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils

from pyggml_kernels.jit import intrinsic
from pyggml_kernels.rounding import TO_INTEGER
from pyggml_kernels.simd.operators import same_width
from pyggml_kernels.simd.vector import Vector, splat

_FLOAT_ALIGNMENT = 4

# Numba's own functions, which it does not type.
_cgutils: Any = cgutils


def _floats(n: int) -> Vector:
    return Vector(types.float32, n)


def _integers(n: int) -> Vector:
    return Vector(types.int32, n)


def _truths(n: int) -> Vector:
    return Vector(types.boolean, n)


def _call(builder: Any, name: str, *arguments: Any) -> Any:
    """Call LLVM's intrinsic of that name for the vectors' type; its result has the same type."""
    vector = arguments[0].type
    element = {"float": "f32", "i32": "i32"}[str(vector.element)]
    full_name = f"llvm.{name}.v{vector.count}{element}"
    function_type = ir.FunctionType(vector, [vector] * len(arguments))
    return builder.call(_cgutils.get_or_insert_function(builder.module, function_type, full_name), arguments)


@intrinsic
def stack_memory(typing_context: Any, n_bytes: Any) -> Any:
    """The address of a constant number of bytes, aligned for vectors, that live until the caller returns."""
    if not isinstance(n_bytes, types.IntegerLiteral):
        return None
    memory_type = ir.ArrayType(ir.IntType(8), n_bytes.literal_value)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        memory = _cgutils.alloca_once(builder, memory_type)
        memory.align = 64
        return builder.ptrtoint(memory, ir.IntType(64))

    return types.int64(n_bytes), generate


@intrinsic
def lanes_of(typing_context: Any, n: Any, value: Any) -> Any:
    """A float32 in each of a constant number of lanes."""
    if not isinstance(n, types.IntegerLiteral):
        return None
    lanes = _floats(n.literal_value)
    return lanes(n, types.float32), lambda context, builder, signature, arguments: splat(builder, arguments[1], lanes.n)


@intrinsic
def zeros(typing_context: Any, like: Any) -> Any:
    """Zero in as many lanes as `like` has."""
    return like(like), lambda context, builder, signature, arguments: ir.Constant(like.llvm, [0.0] * like.n)


@intrinsic
def load_lanes(typing_context: Any, address: Any, like: Any) -> Any:
    """As many floats from an address as the vector `like` has."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.load(builder.inttoptr(arguments[0], like.llvm.as_pointer()), align=_FLOAT_ALIGNMENT)

    return like(types.int64, like), generate


@intrinsic
def store_lanes(typing_context: Any, address: Any, lanes: Any) -> Any:
    """Write floats to an address."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        builder.store(
            arguments[1], builder.inttoptr(arguments[0], arguments[1].type.as_pointer()), align=_FLOAT_ALIGNMENT
        )
        return context.get_dummy_value()

    return types.void(types.int64, lanes), generate


@intrinsic
def store_lanes_as_bytes(typing_context: Any, address: Any, lanes: Any) -> Any:
    """Write floats that are integers in -128..255 to an address, a byte each."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        n = arguments[1].type.count
        bytes_type = ir.VectorType(ir.IntType(8), n)
        integers = builder.fptosi(arguments[1], ir.VectorType(ir.IntType(32), n))
        pointer = builder.inttoptr(arguments[0], bytes_type.as_pointer())
        builder.store(builder.trunc(integers, bytes_type), pointer, align=1)
        return context.get_dummy_value()

    return types.void(types.int64, lanes), generate


@intrinsic
def select(typing_context: Any, condition: Any, true: Any, false: Any) -> Any:
    """Lane by lane one of two float vectors, or one and a float32."""
    lanes = _floats(condition.n)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.select(arguments[0], *same_width(builder, lanes.llvm, arguments[1:]))

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
def opposite(typing_context: Any, lanes: Any) -> Any:
    """-x in each lane."""
    return lanes(lanes), lambda context, builder, signature, arguments: builder.fneg(arguments[0])


@intrinsic
def nearest_in(typing_context: Any, lanes: Any, lowest: Any, highest: Any) -> Any:
    """The nearest integer, ties to even, then bounded; as ggml does it, also where there is no nearest one.

    1.5 * 2**23 is added, the integer stands in the low 23 bits of the sum. A NaN gives 0, an infinity -2**22, a number
    beyond 2**22 anything.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        integers = _integers(lanes.n).llvm
        to_integer = ir.Constant(lanes.llvm, [float(TO_INTEGER)] * lanes.n)
        bits = builder.bitcast(builder.fadd(arguments[0], to_integer), integers)
        low = builder.and_(bits, ir.Constant(integers, [0x007FFFFF] * lanes.n))
        found = builder.sub(low, ir.Constant(integers, [0x00400000] * lanes.n))
        bounds = [splat(builder, builder.trunc(each, ir.IntType(32)), lanes.n) for each in arguments[1:]]
        bounded = _call(builder, "smin", _call(builder, "smax", found, bounds[0]), bounds[1])
        return builder.sitofp(bounded, lanes.llvm)

    return lanes(lanes, types.int64, types.int64), generate
