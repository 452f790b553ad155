"""The Walsh-Hadamard transform against a dense matrix, and as its own inverse."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyggml_kernels.hadamard import hadamard
from tests.kernels.calling import Doubles, Floats, call, nmse, normals
from tests.kernels.comparing import Guarded, assert_same_bits


def matrix(size: int) -> Doubles:
    """Sylvester's construction, normalized: entry (i, j) is the parity of the bits that i and j share."""
    index = np.arange(size)
    shared = index[:, None] & index
    parity = np.array([bin(each).count("1") % 2 for each in shared.reshape(-1)]).reshape(size, size)
    return np.asarray((1.0 - 2.0 * parity) / np.sqrt(size))


def transform(x: Floats, seed: int = 0) -> Floats:
    """Each run of the last axis of x (n_tokens, n, size)."""
    out = Guarded(x.shape, np.float32)
    out.array[...] = x
    call(hadamard, {0: out.address, 1: x.shape[1], 2: x.shape[2]}, len(x), seed=seed)
    out.assert_intact()
    return out.array


@settings(max_examples=60, deadline=None)
@given(n_tokens=st.integers(1, 20), n=st.integers(1, 12), power=st.integers(0, 9), seed=st.integers(0, 2**32 - 1))
def test_it_is_a_product_with_the_matrix_and_its_own_inverse(n_tokens: int, n: int, power: int, seed: int) -> None:
    x = normals(np.random.default_rng(seed), n_tokens, n, 1 << power)
    found = transform(x, seed)
    assert nmse(found, x @ matrix(1 << power)) <= 1e-12
    assert nmse(transform(found), x) <= 1e-12
    assert_same_bits(transform(x[:1]), found[:1])


@pytest.mark.parametrize("size", [64, 128, 256])
def test_one_number_is_spread_over_all(size: int) -> None:
    x = np.zeros((1, 1, size), np.float32)
    x[0, 0, 3] = 1
    found = transform(x)
    np.testing.assert_allclose(np.abs(found), 1 / np.sqrt(size), rtol=1e-6)
    np.testing.assert_allclose(found[0, 0], matrix(size)[3], rtol=1e-6)
