"""Norm, activation, sums and rows of tables against ggml's own operations (level 3) and themselves (level 6)."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyggml_kernels import elementwise, embedding, norm
from pyggml_kernels.formats import FORMATS, FloatFormat, Format, LevelFormat
from pyggml_kernels.jit import Kernel
from pyggml_reference import operations
from tests.kernels.calling import MAX_NMSE, Bytes, Floats, address, call, guarded, nmse, normals, random_weights
from tests.kernels.comparing import assert_same_bits

SEEDS = st.integers(0, 2**32 - 1)
every_format = pytest.mark.parametrize("form", FORMATS.values(), ids=lambda each: each.name)


def rms_norm(x: Floats, weight: Floats, epsilon: float, rows_per_chunk: int, seed: int = 0) -> Floats:
    n_rows, n_columns = x.shape
    out = guarded(x.shape)
    words = {0: address(x), 1: n_rows, 2: n_columns, 3: address(weight), 5: out.address, 6: rows_per_chunk}
    call(norm.rms_norm, words, -(-n_rows // rows_per_chunk), doubles={4: epsilon}, seed=seed)
    out.assert_intact()
    return out.array


def elementwise_of(kernel: Kernel, left: Floats, right: Floats, per_chunk: int, seed: int = 0) -> Floats:
    out = guarded(left.shape)
    words = {0: address(left), 1: address(right), 2: out.address, 3: left.size, 4: per_chunk}
    call(kernel, words, -(-left.size // per_chunk), seed=seed)
    out.assert_intact()
    return out.array


def embed(form: Format, table: Bytes, tokens: list[int], n_columns: int, seed: int = 0) -> Floats:
    rows = np.array(tokens, np.int32)
    out = guarded((len(tokens), n_columns))
    words = {0: address(table), 1: table.shape[1], 2: address(rows), 3: n_columns, 4: out.address}
    if isinstance(form, LevelFormat):
        n_bytes = embedding.scratch_bytes(n_columns, form.group_size)
        scratch = guarded((3, n_bytes), np.uint8)
        words |= {5: form.decode.address, 6: form.block_size, 7: form.group_size, 8: scratch.address, 9: n_bytes}
        call(embedding.embed_levels, words, len(tokens), seed=seed, n_workers=3)
        scratch.assert_intact()
    else:
        assert isinstance(form, FloatFormat)
        call(embedding.embed_floats, words | {5: form.load.address}, len(tokens), seed=seed)
    out.assert_intact()
    return out.array


@settings(max_examples=60, deadline=None)
@given(
    n_rows=st.integers(1, 70),
    n_columns=st.integers(1, 700),
    epsilon=st.sampled_from([1e-5, 1e-6, 0.0, 1e-2]),
    rows_per_chunk=st.integers(1, 80),
    seed=SEEDS,
)
def test_rms_norm_is_that_of_ggml(n_rows: int, n_columns: int, epsilon: float, rows_per_chunk: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    x, weight = normals(generator, n_rows, n_columns), normals(generator, n_columns)
    x[:, 0] += 1  # without an epsilon, a row of zeros is no number
    found = rms_norm(x, weight, epsilon, rows_per_chunk, seed)
    assert_same_bits(found, operations.rms_norm(x, epsilon, weight))
    exact = x / np.sqrt((x.astype(np.float64) ** 2).mean(axis=-1, keepdims=True) + epsilon) * weight.astype(np.float64)
    assert nmse(found, exact) <= 1e-12


@settings(max_examples=30, deadline=None)
@given(n_rows=st.integers(2, 40), n_columns=st.integers(1, 300), rows_per_chunk=st.integers(1, 40), seed=SEEDS)
def test_a_norm_has_the_same_bits_in_every_batch(n_rows: int, n_columns: int, rows_per_chunk: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    x, weight = normals(generator, n_rows, n_columns), normals(generator, n_columns)
    whole = rms_norm(x, weight, 1e-5, rows_per_chunk, seed)
    for row in (0, n_rows - 1):
        assert_same_bits(rms_norm(x[row : row + 1], weight, 1e-5, 1), whole[row : row + 1])


def test_the_norm_of_zeros_is_zero() -> None:
    assert not rms_norm(np.zeros((2, 33), np.float32), np.ones(33, np.float32), 1e-6, 1).any()


@settings(max_examples=60, deadline=None)
@given(n_rows=st.integers(1, 70), n_columns=st.integers(1, 300), per_chunk=st.integers(1, 9000), seed=SEEDS)
def test_elementwise_operations_are_those_of_ggml(n_rows: int, n_columns: int, per_chunk: int, seed: int) -> None:
    # A chunk of a few elements takes no vector instructions; not too many of them, as each is a call.
    per_chunk = max(per_chunk, n_rows * n_columns // 200)
    generator = np.random.default_rng(seed)
    left, right = normals(generator, n_rows, n_columns), normals(generator, n_rows, n_columns)
    assert_same_bits(elementwise_of(elementwise.add, left, right, per_chunk, seed), operations.add(left, right))
    found = elementwise_of(elementwise.swiglu, left, right, per_chunk, seed)
    assert nmse(found, operations.swiglu(left, right)) <= MAX_NMSE
    wide = left.astype(np.float64)
    with np.errstate(over="ignore"):
        assert nmse(found, wide / (1 + np.exp(-wide)) * right) <= 1e-12
    assert_same_bits(found, elementwise_of(elementwise.swiglu, left, right, left.size))


def test_swiglu_of_extreme_gates() -> None:
    gate = np.array([0, -0.0, 1000, -1000, 88, -88, -104, np.inf, np.nan], np.float32)
    found = elementwise_of(elementwise.swiglu, gate, np.full(9, 2, np.float32), 9)
    assert found[[0, 1, 3, 6]].tolist() == [0, 0, 0, pytest.approx(0, abs=1e-40)]
    assert found[[2, 4, 7]].tolist() == [2000, 176, np.inf]
    assert found[5] == pytest.approx(-176 * np.exp(-88.0), rel=1e-6)
    assert np.isnan(found[8])


@settings(max_examples=40, deadline=None)
@given(n_rows=st.integers(1, 70), n=st.integers(0, 70), n_columns=st.integers(1, 100), seed=SEEDS)
def test_copy_rows_copies_the_rows_named(n_rows: int, n: int, n_columns: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    x = normals(generator, n_rows, n_columns)
    rows = generator.integers(0, n_rows, n).astype(np.int32)
    out = guarded((n, n_columns))
    words = {0: address(x), 1: address(rows), 2: n, 3: n_columns, 4: out.address}
    call(elementwise.copy_rows, words, n, seed=seed)
    out.assert_intact()
    assert_same_bits(out.array, x[rows])


@every_format
@settings(max_examples=10, deadline=None)
@given(n_rows=st.integers(1, 70), n_tokens=st.integers(1, 70), n_blocks=st.integers(1, 20), seed=SEEDS)
def test_embeddings_have_the_bits_of_ggml(form: Format, n_rows: int, n_tokens: int, n_blocks: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    n_columns = n_blocks * form.block_size
    table = random_weights(form, generator, n_rows, n_columns)
    tokens = generator.integers(0, n_rows, n_tokens).tolist()
    found = embed(form, table, tokens, n_columns, seed)
    assert_same_bits(found, operations.get_rows(form.type_id, table, tokens, n_columns))
