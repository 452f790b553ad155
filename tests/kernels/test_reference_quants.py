"""The oracle's block formats agree with gguf-py, with each other and with plain arithmetic."""

import gguf
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyggml_reference.library import OracleError
from pyggml_reference.quants import (
    ACTIVATIONS,
    bfloat16_from_float32,
    block_size,
    dequantize,
    encode_cpu,
    float16_from_float32,
    is_valid,
    quantize,
    quantize_activation,
    quantize_for_dot,
    row_size,
    type_size,
    vec_dot,
    vec_dot_generic,
    vec_dot_type,
)
from pyggml_reference.structures import TensorType

# Each type with the relative error that rounding normal numbers to it may cause: about 2**-bits of the largest.
ERRORS = {
    TensorType.F32: 0.0,
    TensorType.F16: 2.0**-11,
    TensorType.BF16: 2.0**-8,
    TensorType.Q8_0: 0.01,
    TensorType.Q6_K: 0.03,
    TensorType.Q5_0: 0.06,
    TensorType.Q5_1: 0.06,
    TensorType.Q5_K: 0.06,
    TensorType.Q4_0: 0.12,
    TensorType.Q4_1: 0.12,
    TensorType.Q4_K: 0.12,
    TensorType.IQ4_NL: 0.12,
    TensorType.IQ4_XS: 0.12,
    TensorType.Q3_K: 0.22,
    TensorType.Q2_K: 0.4,
}
QUANTIZED = [kind for kind in ERRORS if kind not in (TensorType.F32, TensorType.F16, TensorType.BF16)]
N = 512


def random_rows(seed: int, n_rows: int = 3) -> npt.NDArray[np.float32]:
    return np.random.default_rng(seed).standard_normal((n_rows, N)).astype(np.float32)


@pytest.mark.parametrize("kind", ERRORS, ids=lambda kind: kind.name)
@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), weighted=st.booleans())
def test_round_trip_is_close_and_equals_gguf_py(kind: TensorType, seed: int, weighted: bool) -> None:
    rows = random_rows(seed)
    importance = np.random.default_rng(seed + 1).random(N).astype(np.float32) + 0.1 if weighted else None
    encoded = quantize(kind, rows, importance)
    assert encoded.shape == (3, row_size(kind, N))
    assert is_valid(kind, encoded)
    decoded = dequantize(kind, encoded, rows.size).reshape(rows.shape)
    assert np.linalg.norm(decoded - rows) <= ERRORS[kind] * np.linalg.norm(rows)
    other = gguf.quants.dequantize(encoded, gguf.GGMLQuantizationType(kind))
    np.testing.assert_array_equal(decoded.view(np.uint32), other.reshape(rows.shape).view(np.uint32))


@pytest.mark.parametrize("kind", TensorType, ids=lambda kind: kind.name)
def test_sizes_equal_those_of_gguf_py(kind: TensorType) -> None:
    known = {int(other): size for other, size in gguf.GGML_QUANT_SIZES.items()}
    if kind not in known:
        assert kind in (TensorType.Q1_0, TensorType.Q2_0, TensorType.NVFP4)  # newer than the package
        return
    expected_type_size = known[kind][1]
    if kind == TensorType.Q8_1:
        expected_type_size = 36  # gguf-py still has the layout with two F32 scales
    assert (block_size(kind), type_size(kind)) == (known[kind][0], expected_type_size)


@pytest.mark.parametrize("kind", QUANTIZED, ids=lambda kind: kind.name)
@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_dot_products_agree_with_float64(kind: TensorType, seed: int) -> None:
    rows = random_rows(seed, 2)
    weights = quantize(kind, rows[:1])
    activation = quantize_for_dot(kind, rows[1])
    exact = dequantize(kind, weights, N).astype(np.float64) * dequantize_activation(kind, activation)
    # Integers are summed exactly within a block and float32 across blocks; Q8_1 keeps its block sums in F16.
    bound = 3e-4 if vec_dot_type(kind) == TensorType.Q8_1 else 3e-7
    for dot in (vec_dot, vec_dot_generic):
        assert abs(dot(kind, weights[0], activation, N) - exact.sum()) <= bound * np.abs(exact).sum()


def dequantize_activation(kind: TensorType, activation: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    """Decode what ggml itself cannot: Q8_1 is F16 scale, F16 sum, 32 bytes; Q8_K is F32 scale, 256 bytes, 16 sums."""
    partner = vec_dot_type(kind)
    blocks = activation.reshape(-1, type_size(partner))
    if partner == TensorType.Q8_0:
        return dequantize(partner, activation, N).astype(np.float64)
    if partner == TensorType.Q8_1:
        scales, values = blocks[:, :2].copy().view(np.float16), blocks[:, 4:]
    else:
        scales, values = blocks[:, :4].copy().view(np.float32), blocks[:, 4:260]
    return (scales.astype(np.float64) * values.view(np.int8)).ravel()


@pytest.mark.parametrize("name", ACTIVATIONS)
@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_activations_are_close_in_both_variants(name: str, seed: int) -> None:
    row = random_rows(seed, 1)[0]
    kind = {"Q8_0": TensorType.Q8_0, "Q8_1": TensorType.Q4_1, "Q8_K": TensorType.Q4_K}[name]
    for variant in ("reference", "cpu"):
        encoded = quantize_activation(name, row, variant)  # type: ignore[arg-type]  # names come from the table
        assert np.abs(dequantize_activation(kind, encoded) - row).max() <= 0.6 * np.abs(row).max() / 127


@given(st.lists(st.floats(width=16, allow_nan=False), min_size=1, max_size=40))
@settings(max_examples=50, deadline=None)
def test_float16_equals_numpy(values: list[float]) -> None:
    x = np.array(values, np.float32) * np.float32(1.0003)
    with np.errstate(over="ignore"):
        expected = x.astype(np.float16).view(np.uint16)
    np.testing.assert_array_equal(float16_from_float32(x), expected)


@given(st.lists(st.floats(width=32, allow_nan=False), min_size=1, max_size=40))
@settings(max_examples=50, deadline=None)
def test_bfloat16_rounds_to_nearest_even(values: list[float]) -> None:
    x = np.array(values, np.float32)
    bits = x.view(np.uint32).astype(np.uint64)
    expected = ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)
    np.testing.assert_array_equal(bfloat16_from_float32(x), expected)
    np.testing.assert_array_equal(bfloat16_from_float32(x, "fast"), expected)


def test_refuses_what_would_abort_the_process() -> None:
    rows = random_rows(0)
    with pytest.raises(OracleError, match="IQ2_XS cannot be quantized without importance"):
        quantize(TensorType.IQ2_XS, rows)
    with pytest.raises(OracleError, match="ggml_quantize_chunk does not know Q8_K"):
        quantize(TensorType.Q8_K, rows)
    with pytest.raises(OracleError, match="Q4_K: 500 elements is not a positive multiple"):
        quantize(TensorType.Q4_K, rows[:, :500])
    with pytest.raises(OracleError, match=r"must be 2-D \(rows, columns\), found shape \(512,\)"):
        quantize(TensorType.Q4_K, rows[0])
    with pytest.raises(OracleError, match=r"importance must have shape \(512,\), found \(3,\)"):
        quantize(TensorType.Q4_K, rows, np.ones(3))
    with pytest.raises(OracleError, match="Q8_0: 64 elements take 68 bytes, found 67"):
        dequantize(TensorType.Q8_0, np.zeros(67, np.uint8), 64)
    with pytest.raises(OracleError, match="ggml cannot dequantize I32"):
        dequantize(TensorType.I32, np.zeros(4, np.int32), 4)
    with pytest.raises(OracleError, match="the CPU backend does not encode IQ2_XS"):
        encode_cpu(TensorType.IQ2_XS, rows)


def test_refuses_dot_products_that_do_not_fit() -> None:
    weights = np.zeros(34, np.uint8)
    with pytest.raises(OracleError, match="activation: 32 elements of Q8_0 take 34 bytes, found 33"):
        vec_dot(TensorType.Q8_0, weights, np.zeros(33, np.uint8), 32)
    with pytest.raises(OracleError, match="no generic dot product for F16"):
        vec_dot_generic(TensorType.F16, np.zeros(2, np.float16), np.zeros(2, np.float16), 2)
    with pytest.raises(OracleError, match="ggml has no dot product for I32"):
        vec_dot(TensorType.I32, np.zeros(2, np.int32), np.zeros(2, np.int32), 2)


def test_blocks_with_infinite_scales_are_not_valid() -> None:
    block = np.zeros(34, np.uint8)
    block[:2] = np.array([np.inf], np.float16).view(np.uint8)
    assert not is_valid(TensorType.Q8_0, block)
