"""The exponential function of vectors against double precision, over all floats, and in every tier."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyggml_kernels.jit import kernel
from pyggml_kernels.simd.cpu import available_tiers
from pyggml_kernels.simd.exponential import exponential
from pyggml_kernels.simd.rows import load_floats
from pyggml_kernels.simd.widening import store_floats
from tests.kernels.calling import Floats, address

#: Units in the last place.
MAX_ERROR = 1.01
REPOSITORY = Path(__file__).resolve().parents[2]
DIGEST = "from tests.kernels.test_exponential import digest; print(digest())"


@kernel
def exponentials(source: int, n: int, out: int) -> None:
    """exp of n numbers, a multiple of 16."""
    for i in range(0, n, 16):
        store_floats(out + i * 4, exponential(load_floats(source + i * 4)))


def exp(x: Floats) -> Floats:
    """exp of any number of numbers."""
    padded = np.zeros(-(-x.size // 16) * 16, np.float32)
    padded[: x.size] = x
    out = np.empty_like(padded)
    exponentials(address(padded), padded.size, address(out))
    return out[: x.size]


def digest() -> str:
    """Of the results for floats spread over all there are, NaNs aside: their bits are nobody's concern."""
    found = exp(np.arange(0, 2**32, 4099, dtype=np.uint32).view(np.float32))
    return hashlib.sha256(found[~np.isnan(found)].tobytes()).hexdigest()


def error_in_last_places(x: Floats) -> float:
    """The largest error, in units of the last place of the result, for results that are finite."""
    exact = np.exp(x.astype(np.float64))
    chosen = exact < np.finfo(np.float32).max
    unit = np.spacing(exact[chosen].astype(np.float32)).astype(np.float64)
    return float((np.abs(exp(x)[chosen] - exact[chosen]) / unit).max(initial=0))


def test_every_size_of_number() -> None:
    x = np.arange(0, 2**32, 997, dtype=np.uint32).view(np.float32)
    x = x[~np.isnan(x)]
    with np.errstate(over="ignore", under="ignore"):
        assert error_in_last_places(x) <= MAX_ERROR
        assert error_in_last_places(np.linspace(-105, 89, 4_000_001, dtype=np.float32)) <= MAX_ERROR


@settings(max_examples=200, deadline=None)
@given(values=st.lists(st.floats(width=32, allow_nan=False), min_size=1, max_size=40))
def test_numbers_that_hypothesis_likes(values: list[float]) -> None:
    with np.errstate(over="ignore", under="ignore"):
        assert error_in_last_places(np.array(values, np.float32)) <= MAX_ERROR


def test_special_values() -> None:
    x = np.array([0, -0.0, -np.inf, np.inf, 88.8, 3e38, -104, -3e38, np.nan, -np.nan], np.float32)
    found = exp(x)
    assert found[:8].tolist() == [1, 1, 0, np.inf, np.inf, np.inf, 0, 0]
    assert np.isnan(found[8:]).all()


def test_results_grow_with_their_arguments() -> None:
    found = exp(np.linspace(-20, 20, 2_000_001, dtype=np.float32))
    # Where pieces of the range meet, an error of less than one place may show as a step back of one.
    assert (np.diff(found) >= -np.spacing(found[:-1])).all()


@pytest.mark.parametrize("chosen", available_tiers())
def test_all_tiers_give_the_same_bits(chosen: str) -> None:
    environment = os.environ | {"PYGGML_SIMD": chosen}
    finished = subprocess.run(
        [sys.executable, "-c", DIGEST], cwd=REPOSITORY, env=environment, capture_output=True, text=True
    )
    assert finished.stdout.strip() == digest(), finished.stderr[-2000:]
