"""The oracle's single operations agree with plain float64 arithmetic."""

from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyggml_reference.library import OracleError
from pyggml_reference.operations import (
    AttentionParameters,
    RopeParameters,
    add,
    flash_attention,
    get_rows,
    mul_mat,
    rms_norm,
    rope,
    soft_max,
    swiglu,
)
from pyggml_reference.quants import dequantize, quantize
from pyggml_reference.scalar import ScalarConfig, rope_angles
from pyggml_reference.structures import TensorType

SEEDS = st.integers(0, 2**32 - 1)
BUDGET = settings(max_examples=10, deadline=None)


def normals(seed: int, *shape: int) -> npt.NDArray[np.float64]:
    """Give normal numbers that float32 holds exactly."""
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32).astype(np.float64)


def error(found: npt.NDArray[Any], exact: npt.NDArray[Any]) -> float:
    assert found.shape == exact.shape
    return float(((found - exact) ** 2).sum() / (exact**2).sum())


@BUDGET
@given(seed=SEEDS, n=st.integers(1, 5), width=st.integers(1, 70))
def test_elementwise(seed: int, n: int, width: int) -> None:
    a, b = normals(seed, 2, n, width)
    weight = normals(seed + 1, width)
    assert error(add(a, b), a + b) < 1e-14
    assert error(add(a, weight), a + weight) < 1e-14
    assert error(swiglu(a, b), a / (1 + np.exp(-a)) * b) < 1e-12
    norm = a / np.sqrt((a * a).mean(-1, keepdims=True) + 1e-5)
    assert error(rms_norm(a, 1e-5), norm) < 1e-12
    assert error(rms_norm(a, 1e-5, weight), norm * weight) < 1e-12


@pytest.mark.parametrize(("kind", "bound"), [(TensorType.F32, 1e-12), (TensorType.F16, 1e-6), (TensorType.Q8_0, 1e-4)])
@BUDGET
@given(seed=SEEDS, n=st.integers(1, 5), n_rows=st.integers(1, 40), n_threads=st.integers(1, 2))
def test_matrix_products_and_rows(
    kind: TensorType, bound: float, seed: int, n: int, n_rows: int, n_threads: int
) -> None:
    encoded = quantize(kind, normals(seed, n_rows, 96))
    matrix = dequantize(kind, encoded, n_rows * 96).reshape(n_rows, 96).astype(np.float64)
    x = normals(seed + 1, n, 96)
    # The activation is rounded to the partner type of the weights: F16 or Q8_0.
    assert np.abs(mul_mat(kind, encoded, x, n_threads) - x @ matrix.T).max() < 40 * bound**0.5
    indices = np.random.default_rng(seed).integers(0, n_rows, n)
    np.testing.assert_array_equal(get_rows(kind, encoded, indices, 96), matrix[indices])


@pytest.mark.parametrize("mode", ["norm", "neox"])
@pytest.mark.parametrize("scaling", ["none", "linear", "yarn"])
@BUDGET
@given(seed=SEEDS, n=st.integers(1, 40))
def test_rope(mode: Literal["norm", "neox"], scaling: Literal["none", "linear", "yarn"], seed: int, n: int) -> None:
    x = normals(seed, n, 3, 64)
    factor = 1.0 if scaling == "none" else 4.0
    factors = np.linspace(1, 3, 32)
    config = ScalarConfig(1, 1, 64, 1e-5, mode, 10000.0, scaling, factor, n_ctx_original=32)
    angles, scale = rope_angles(config, n, factors)
    pairs = x.reshape(n, 3, 32, 2) if mode == "norm" else x.reshape(n, 3, 2, 32).swapaxes(2, 3)
    turned = (pairs[..., 0] + 1j * pairs[..., 1]) * (scale * np.exp(1j * angles))[:, None, :]
    rotated = np.stack([turned.real, turned.imag], axis=-1 if mode == "norm" else -2).reshape(x.shape)
    parameters = RopeParameters(
        mode=mode, freq_scale=1 / factor, ext_factor=float(scaling == "yarn"), n_ctx_original=32
    )
    assert error(rope(x, np.arange(n), parameters, factors), rotated) < 1e-11


@BUDGET
@given(seed=SEEDS, n=st.integers(1, 9), n_kv=st.integers(1, 70))
def test_soft_max(seed: int, n: int, n_kv: int) -> None:
    x = normals(seed, 3, n, n_kv)
    mask = np.where(normals(seed + 1, n, n_kv) > 1, -np.inf, 0)
    mask[:, 0] = 0
    p = np.exp(0.3 * x + mask)
    assert error(soft_max(x, mask, 0.3), p / p.sum(-1, keepdims=True)) < 1e-11


@pytest.mark.parametrize(
    ("kind", "bound"),
    # The error is that of rounding keys and values, and for quantized keys the queries, to the type.
    [(TensorType.F32, 1e-11), (TensorType.F16, 1e-5), (TensorType.BF16, 2e-4), (TensorType.Q8_0, 2e-3)],
)
@BUDGET
@given(seed=SEEDS, n=st.integers(1, 9), n_kv=st.integers(1, 300), n_threads=st.integers(1, 2))
def test_attention(kind: TensorType, bound: float, seed: int, n: int, n_kv: int, n_threads: int) -> None:
    q, k, v = normals(seed, n, 6, 32), normals(seed + 1, n_kv, 2, 32), normals(seed + 2, n_kv, 2, 32)
    mask = np.where(normals(seed + 3, n, n_kv) > 1, -np.inf, 0)
    mask[:, 0] = 0
    scores = np.exp(np.einsum("nhd,khd->hnk", q, k.repeat(3, axis=1)) * 0.2 + mask)
    exact = np.einsum("hnk,khd->nhd", scores / scores.sum(-1, keepdims=True), v.repeat(3, axis=1))
    assert error(flash_attention(q, k, v, mask, AttentionParameters(0.2, kind, kind), n_threads), exact) < bound


def test_refuses_what_would_abort_the_process() -> None:
    x = np.ones((2, 3, 8))
    with pytest.raises(OracleError, match=r"b of shape \(5,\) cannot be repeated to \(2, 3, 8\)"):
        add(x, np.ones(5))
    with pytest.raises(OracleError, match=r"weight must have shape \(8,\), found \(3,\)"):
        rms_norm(x, 1e-5, np.ones(3))
    with pytest.raises(OracleError, match="gate and up must have one shape"):
        swiglu(x, x[0])
    with pytest.raises(OracleError, match=r"x must have 1 to 4 axes and some elements, found \(0,\)"):
        rms_norm(np.ones(0), 1e-5)
    with pytest.raises(OracleError, match=r"weights must be \(rows, 34 bytes\) for 32 columns of Q8_0"):
        mul_mat(TensorType.Q8_0, np.zeros((3, 33), np.uint8), np.ones((1, 32)))
    with pytest.raises(OracleError, match="rows must be a vector of indices below 3"):
        get_rows(TensorType.F32, np.zeros((3, 8), np.float32), [3], 8)
    with pytest.raises(OracleError, match=r"rope of 8 dimensions cannot take x \(2, 3, 8\) and positions \(3,\)"):
        rope(x, [0, 1, 2], RopeParameters())
    with pytest.raises(OracleError, match=r"freq_factors must hold at least 4 values, found shape \(3,\)"):
        rope(x, [0, 1], RopeParameters(), np.ones(3))
    with pytest.raises(OracleError, match=r"mask must have shape \(3, 8\), found \(8,\)"):
        soft_max(x, np.ones(8))
    with pytest.raises(OracleError, match="max_bias needs a mask"):
        soft_max(x, max_bias=1.0)


def test_refuses_attention_that_does_not_fit() -> None:
    q = np.ones((2, 4, 8))
    parameters = AttentionParameters(1.0)
    with pytest.raises(OracleError, match="do not fit each other"):
        flash_attention(q, np.ones((5, 3, 8)), np.ones((5, 3, 8)), None, parameters)
    with pytest.raises(OracleError, match=r"mask must have shape \(2, 5\), found \(5, 2\)"):
        flash_attention(q, np.ones((5, 2, 8)), np.ones((5, 2, 8)), np.ones((5, 2)), parameters)
    with pytest.raises(OracleError, match="heads of 8 do not divide into blocks of Q8_0"):
        flash_attention(q, q, q, None, AttentionParameters(1.0, TensorType.Q8_0))
