"""ggml's block formats: dequantize, quantize, activation quantization and dot products, as the C code does them."""

import ctypes
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from pyggml_reference.library import OracleError, library
from pyggml_reference.structures import VEC_DOT, CpuTypeTraits, TensorType, TypeTraits

Bytes = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]

ACTIVATIONS = {"Q8_0": TensorType.Q8_0, "Q8_1": TensorType.Q8_1, "Q8_K": TensorType.Q8_K}

_NOT_QUANTIZABLE = {
    *(TensorType.Q8_1, TensorType.Q8_K, TensorType.F64),
    *(TensorType.I8, TensorType.I16, TensorType.I32, TensorType.I64),
}

# Names of types as they appear in C function names, with the format of the activation that is multiplied with them.
_DOT_NAMES = {
    **{kind: f"{kind.name.lower()}_q8_0" for kind in (TensorType.Q4_0, TensorType.Q5_0, TensorType.Q8_0)},
    **{kind: f"{kind.name.lower()}_q8_1" for kind in (TensorType.Q4_1, TensorType.Q5_1)},
    **{
        kind: f"{kind.name[:-1].lower()}K_q8_K"
        for kind in (TensorType.Q2_K, TensorType.Q3_K, TensorType.Q4_K, TensorType.Q5_K, TensorType.Q6_K)
    },
    **{
        kind: f"{kind.name.lower()}_q8_K"
        for kind in (
            *(TensorType.IQ1_S, TensorType.IQ1_M, TensorType.IQ2_XXS, TensorType.IQ2_XS, TensorType.IQ2_S),
            *(TensorType.IQ3_XXS, TensorType.IQ3_S, TensorType.IQ4_XS, TensorType.TQ1_0, TensorType.TQ2_0),
        )
    },
    **{
        kind: f"{kind.name.lower()}_q8_0"
        for kind in (TensorType.IQ4_NL, TensorType.MXFP4, TensorType.NVFP4, TensorType.Q1_0, TensorType.Q2_0)
    },
}


def _traits(type_id: int) -> TypeTraits:
    traits: TypeTraits = library().ggml_get_type_traits(TensorType(type_id)).contents
    return traits


def _cpu_traits(type_id: int) -> CpuTypeTraits:
    traits: CpuTypeTraits = library().ggml_get_type_traits_cpu(TensorType(type_id)).contents
    return traits


def _address(array: npt.NDArray[Any] | None) -> int | None:
    return None if array is None else array.ctypes.data


def _check_length(type_id: int, n: int) -> None:
    if n <= 0 or n % block_size(type_id):
        raise OracleError(f"{TensorType(type_id).name}: {n} elements is not a positive multiple of its block size")


def block_size(type_id: int) -> int:
    """Count the elements in one block."""
    return int(_traits(type_id).block_size)


def type_size(type_id: int) -> int:
    """Count the bytes of one block."""
    return int(_traits(type_id).type_size)


def row_size(type_id: int, n: int) -> int:
    """Count the bytes of a row of `n` elements."""
    _check_length(type_id, n)
    return int(library().ggml_row_size(TensorType(type_id), n))


def dequantize(type_id: int, data: npt.ArrayLike, n: int) -> Floats:
    """Decode `n` elements from blocks, by the type's `to_float`; F32 is copied. Shape (n,).

    Q8_K has no `to_float`, but a function of its own; Q8_1 has neither: OracleError.
    """
    source = np.ascontiguousarray(np.asarray(data)).reshape(-1).view(np.uint8)
    if source.size != row_size(type_id, n):
        raise OracleError(
            f"{TensorType(type_id).name}: {n} elements take {row_size(type_id, n)} bytes, found {source.size}"
        )
    if type_id == TensorType.F32:
        return source.view(np.float32).copy()
    to_float = library().dequantize_row_q8_K if type_id == TensorType.Q8_K else _traits(type_id).to_float
    if not to_float:
        raise OracleError(f"ggml cannot dequantize {TensorType(type_id).name}")
    result = np.empty(n, np.float32)
    to_float(_address(source), _address(result), n)
    return result


def quantize(type_id: int, weights: npt.ArrayLike, importance: npt.ArrayLike | None = None) -> Bytes:
    """Encode `weights` (rows, columns) by ggml_quantize_chunk. Shape (rows, bytes of a row).

    `importance` (columns,) weighs the columns, as an importance matrix does. Types that need one (IQ2_XXS, IQ2_XS,
    IQ1_S) raise OracleError without it, and so do types that ggml_quantize_chunk does not know (integers, F64, Q8_1,
    Q8_K): ggml would abort the process.
    """
    if type_id in _NOT_QUANTIZABLE:
        raise OracleError(f"ggml_quantize_chunk does not know {TensorType(type_id).name}")
    source = np.ascontiguousarray(weights, np.float32)
    if source.ndim != 2:
        raise OracleError(f"weights must be 2-D (rows, columns), found shape {source.shape}")
    n_rows, n_columns = source.shape
    chosen = None if importance is None else np.ascontiguousarray(importance, np.float32)
    if chosen is not None and chosen.shape != (n_columns,):
        raise OracleError(f"importance must have shape ({n_columns},), found {chosen.shape}")
    if chosen is None and library().ggml_quantize_requires_imatrix(TensorType(type_id)):
        raise OracleError(f"{TensorType(type_id).name} cannot be quantized without importance")
    result = np.zeros((n_rows, row_size(type_id, n_columns)), np.uint8)
    if n_rows:
        library().ggml_quantize_chunk(
            TensorType(type_id), _address(source), _address(result), 0, n_rows, n_columns, _address(chosen)
        )
    return result


def quantize_activation(
    name: Literal["Q8_0", "Q8_1", "Q8_K"], x: npt.ArrayLike, variant: Literal["reference", "cpu"] = "reference"
) -> Bytes:
    """Encode one row of activations, by quantize_row_*_ref or by the CPU backend's own function.

    A Q8_K block of zeros leaves its 16 block sums unwritten in ggml; here they are zero, since the result starts so.
    """
    source = np.ascontiguousarray(x, np.float32).reshape(-1)
    type_id = ACTIVATIONS[name]
    if variant == "cpu":
        return encode_cpu(type_id, source.reshape(1, -1)).reshape(-1)
    result = np.zeros(row_size(type_id, source.size), np.uint8)
    function = getattr(library(), f"quantize_row_{name[0].lower()}{name[1:]}_ref")
    function(_address(source), _address(result), source.size)
    return result


def quantize_for_dot(type_id: int, x: npt.ArrayLike) -> Bytes:
    """Encode one row of activations as the CPU backend does before multiplying with weights of `type_id`.

    That is Q8_0, Q8_1 or Q8_K for quantized weights and the weights' own type for F32, F16 and BF16.
    """
    return encode_cpu(vec_dot_type(type_id), np.reshape(x, (1, -1))).reshape(-1)


def encode_cpu(type_id: int, rows: npt.ArrayLike) -> Bytes:
    """Encode `rows` (rows, columns) by the CPU backend's own conversion, as a KV cache is. Shape (rows, bytes)."""
    source = np.ascontiguousarray(rows, np.float32)
    result = np.zeros((len(source), row_size(type_id, source.shape[1])), np.uint8)
    from_float = _cpu_traits(type_id).from_float
    if not from_float:
        raise OracleError(f"the CPU backend does not encode {TensorType(type_id).name}")
    for row, encoded in zip(source, result, strict=True):
        from_float(_address(row), _address(encoded), source.shape[1])
    return result


def vec_dot_type(type_id: int) -> TensorType:
    """Give the type that activations take before they are multiplied with weights of `type_id`."""
    return TensorType(_cpu_traits(type_id).vec_dot_type)


def vec_dot(type_id: int, row: npt.ArrayLike, activation: npt.ArrayLike, n: int) -> np.float32:
    """Multiply a row of weights with an encoded activation by the CPU backend's SIMD function."""
    function = _cpu_traits(type_id).vec_dot
    if not function:
        raise OracleError(f"ggml has no dot product for {TensorType(type_id).name}")
    return _dot(function, type_id, row, activation, n)


def vec_dot_generic(type_id: int, row: npt.ArrayLike, activation: npt.ArrayLike, n: int) -> np.float32:
    """Multiply as `vec_dot`, by the portable C function ggml_vec_dot_*_generic.

    Q2_0 has no other than the portable one on x86, so the wheel exports it without that ending. F32, F16 and BF16 have
    none: OracleError.
    """
    name = _DOT_NAMES.get(TensorType(type_id))
    if name is None:
        raise OracleError(f"the wheel exports no generic dot product for {TensorType(type_id).name}")
    ending = "" if type_id == TensorType.Q2_0 else "_generic"
    function = ctypes.cast(getattr(library(), f"ggml_vec_dot_{name}{ending}"), VEC_DOT)
    return _dot(function, type_id, row, activation, n)


def _dot(
    function: Callable[..., Any], type_id: int, row: npt.ArrayLike, activation: npt.ArrayLike, n: int
) -> np.float32:
    weights = np.ascontiguousarray(row).reshape(-1).view(np.uint8)
    activations = np.ascontiguousarray(activation).reshape(-1).view(np.uint8)
    for what, kind, array in (("weights", type_id, weights), ("activation", vec_dot_type(type_id), activations)):
        if array.size != row_size(kind, n):
            raise OracleError(
                f"{what}: {n} elements of {TensorType(kind).name} take {row_size(kind, n)} bytes, found {array.size}"
            )
    result = np.zeros(1, np.float32)
    function(n, _address(result), 0, _address(weights), 0, _address(activations), 0, 1)
    return np.float32(result[0])


def float16_from_float32(x: npt.ArrayLike) -> npt.NDArray[np.uint16]:
    """Convert by ggml_fp32_to_fp16_row; the bits, in the shape of `x`."""
    return _convert("ggml_fp32_to_fp16_row", x)


def bfloat16_from_float32(
    x: npt.ArrayLike, variant: Literal["reference", "fast"] = "reference"
) -> npt.NDArray[np.uint16]:
    """Convert by ggml_fp32_to_bf16_row_ref, which model files are written with, or by the row function for speed."""
    return _convert("ggml_fp32_to_bf16_row_ref" if variant == "reference" else "ggml_fp32_to_bf16_row", x)


def _convert(function: str, x: npt.ArrayLike) -> npt.NDArray[np.uint16]:
    source = np.ascontiguousarray(x, np.float32)
    result = np.empty(source.shape, np.uint16)
    getattr(library(), function)(_address(source), _address(result), source.size)
    return result


def is_valid(type_id: int, data: npt.ArrayLike) -> bool:
    """Tell whether ggml finds the blocks free of NaN and infinity (ggml_validate_row_data)."""
    source = np.ascontiguousarray(np.asarray(data)).reshape(-1).view(np.uint8)
    return bool(library().ggml_validate_row_data(TensorType(type_id), _address(source), source.size))
