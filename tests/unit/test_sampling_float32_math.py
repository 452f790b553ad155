"""Single-precision functions: near the true value here; bit for bit against the C library in tests/model."""

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pyggml.sampling import float32_math

# Found by walking over all floats: the correctly rounded value is the other neighbour, so rounding a good double fails.
EXPF_ROUNDED_THE_OTHER_WAY = [
    ("-0x1.fb36aep-8", "0x1.fc0d7ep-1"),
    ("-0x1.79990ap-3", "0x1.a9cab8p-1"),
    ("-0x1.824254p-8", "0x1.fcfdc2p-1"),
]
LOGF_ROUNDED_THE_OTHER_WAY = [
    ("0x1.b3d0eap-4", "-0x1.1eca34p+1"),
    ("0x1.f908eap-1", "-0x1.c0d4d6p-7"),
    ("0x1.e540eap-1", "-0x1.b78696p-5"),
]
LOG2F_ROUNDED_THE_OTHER_WAY = [
    ("0x1.ffc7aep-1", "-0x1.4514fcp-11"),
    ("0x1.1267aep-1", "-0x1.ccb77p-1"),
    ("0x1.e377aep-1", "-0x1.52d758p-4"),
]


def assert_within_one_place(found: npt.NDArray[np.float32], exact: npt.NDArray[np.float64]) -> None:
    assert (np.abs(found - exact) <= 0.85 * np.spacing(np.abs(exact).astype(np.float32))).all()


@settings(max_examples=200, deadline=None)
@given(st.lists(st.floats(-103.0, 88.5, width=32), min_size=1, max_size=50))
def test_exp(values: list[float]) -> None:
    x = np.array(values, np.float32)
    assert_within_one_place(float32_math.exp(x), np.exp(x.astype(np.float64)))


@settings(max_examples=200, deadline=None)
@given(st.lists(st.floats(2.0**-149, 2.0**127, width=32), min_size=1, max_size=50))
def test_log(values: list[float]) -> None:
    x = np.array(values, np.float32)
    assert_within_one_place(float32_math.log(x), np.log(x.astype(np.float64)))
    assert_within_one_place(float32_math.log2(x), np.log2(x.astype(np.float64)))


@settings(max_examples=300, deadline=None)
@given(st.floats(2.0**-149, 2.0**100, width=32), st.floats(-20.0, 20.0, width=32))
def test_power(base: float, exponent: float) -> None:
    with np.errstate(over="ignore"):
        exact = np.float64(base) ** np.float64(exponent)
        found = float(float32_math.power(np.float32(base), np.float32(exponent)))
    if exact >= 2.0**128:
        assert found == math.inf
    else:
        assert abs(found - exact) <= 0.85 * float(np.spacing(np.float32(exact)))


@pytest.mark.parametrize(
    ("function", "examples"),
    [
        (float32_math.exp, EXPF_ROUNDED_THE_OTHER_WAY),
        (float32_math.log, LOGF_ROUNDED_THE_OTHER_WAY),
        (float32_math.log2, LOG2F_ROUNDED_THE_OTHER_WAY),
    ],
)
def test_rounding_of_glibc(
    function: Callable[[npt.NDArray[np.float32]], npt.NDArray[np.float32]], examples: list[tuple[str, str]]
) -> None:
    x = np.array([float.fromhex(argument) for argument, _ in examples], np.float32)
    assert function(x).tolist() == [float.fromhex(result) for _, result in examples]


def test_ends() -> None:
    inf, nan = math.inf, math.nan
    with np.errstate(all="ignore"):
        assert float32_math.exp(np.array([-inf, -104.0, 0.0, 89.0, inf], np.float32)).tolist() == [0, 0, 1, inf, inf]
        assert np.isnan(float32_math.exp(np.array([nan], np.float32))).all()
        assert float32_math.log(np.array([0.0, 1.0, inf], np.float32)).tolist() == [-inf, 0.0, inf]
        assert np.isnan(float32_math.log(np.array([-1.0, -inf, nan], np.float32))).all()
        assert float32_math.log2(np.array([0.0, 1.0, 8.0, inf], np.float32)).tolist() == [-inf, 0.0, 3.0, inf]


@pytest.mark.parametrize(
    ("base", "exponent", "expected"),
    [
        *[(0.0, 2.0, 0.0), (0.0, -1.0, math.inf), (0.0, 0.0, 1.0), (math.nan, 0.0, 1.0), (math.inf, -1.0, 0.0)],
        *[(-2.0, 3.0, -8.0), (-2.0, 2.0, 4.0), (-2.0, 0.5, math.nan), (2.0, math.nan, math.nan)],
        *[(2.0, 128.0, math.inf), (2.0, -151.0, 0.0), (2.0, -149.0, 2.0**-149), (-2.0, 129.0, -math.inf)],
    ],
)
def test_ends_of_power(base: float, exponent: float, expected: float) -> None:
    with np.errstate(all="ignore"):
        found = float32_math.power(np.float32(base), np.float32(exponent))
    assert found == expected or (math.isnan(found) and math.isnan(expected))


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(-1e6, 1e6, width=32), max_size=200))
def test_sums_run_in_order(values: list[float]) -> None:
    total, expected = np.float32(0), []
    for value in values:
        total = total + np.float32(value)
        expected.append(float(total))
    array = np.array(values, np.float32)
    assert float32_math.running_sum(array).tolist() == expected
    assert float(float32_math.sequential_sum(array)) == (expected[-1] if expected else 0.0)


def looped_sum(terms: npt.NDArray[np.float64]) -> np.float32:
    total = np.float32(0)
    for term in terms:
        total = np.float32(float(total) + float(term))
    return total


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 3000), st.sampled_from([1e-8, 1.0, 3.0, 1e8]), st.booleans())
def test_doubles_summed_into_a_float(seed: int, n: int, scale: float, coarse: bool) -> None:
    values = np.random.default_rng(seed).standard_normal(n) * scale
    if coarse:
        values = np.round(values)  # whole numbers make halfway cases
    singles = values.astype(np.float32).astype(np.float64)
    assert float32_math.sum_doubles_into_float(singles * singles) == looped_sum(singles * singles)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(0.0, 1e15), max_size=300))
@example([2.0**-1022, 6e-29])
def test_any_doubles_summed_into_a_float(values: list[float]) -> None:
    terms = np.array(values, np.float64)
    assert float32_math.sum_doubles_into_float(terms) == looped_sum(terms)


def test_a_sum_beyond_the_floats_is_infinite() -> None:
    with np.errstate(over="ignore"):
        assert float32_math.sum_doubles_into_float(np.full(3, 3e38)) == math.inf
