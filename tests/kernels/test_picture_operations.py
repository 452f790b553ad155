"""What vision towers compute beside a decoder's operations: against ggml's own (level 3), float64, and themselves."""

from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyggml.backend.cpu.arguments import rotate_arguments
from pyggml.backend.graph import Rope
from pyggml_kernels import embedding, gelu, layer_norm, section_rope
from pyggml_kernels.jit import Kernel
from pyggml_kernels.rope import rope_rotate
from pyggml_reference import picture_operations
from tests.kernels.calling import MAX_NMSE, Floats, address, call, guarded, nmse, normals
from tests.kernels.comparing import assert_same_bits

SEEDS = st.integers(0, 2**32 - 1)


def normalized(x: Floats, weight: Floats, bias: Floats, epsilon: float, rows_per_chunk: int, seed: int = 0) -> Floats:
    n_rows, n_columns = x.shape
    out = guarded(x.shape)
    words = {0: address(x), 1: n_rows, 2: n_columns, 3: address(weight), 5: out.address, 6: rows_per_chunk}
    words |= {7: address(bias)}
    call(layer_norm.layer_norm, words, -(-n_rows // rows_per_chunk), doubles={4: epsilon}, seed=seed)
    out.assert_intact()
    return out.array


def activated(kernel: Kernel, x: Floats, per_chunk: int, seed: int = 0) -> Floats:
    out = guarded(x.shape)
    words = {0: address(x), 1: out.address, 2: x.size, 3: per_chunk}
    call(kernel, words, -(-x.size // per_chunk), seed=seed)
    out.assert_intact()
    return out.array


def rotated(
    x: Floats, positions: np.ndarray, sections: list[tuple[int, int, int]], theta_scale: float, seed: int = 0
) -> Floats:
    """Heads (n, n_heads, size), all of their pairs turned by positions (n, n_sections)."""
    n, n_heads, size = x.shape
    n_pairs = size // 2
    angles, out = guarded((n, 2, n_pairs)), guarded(x.shape)
    out.array[...] = x
    places, lengths = np.ascontiguousarray(positions, np.int32), np.array(sections, np.int32)
    words = {0: address(places), 1: n_pairs, 2: angles.address, 3: len(sections), 4: address(lengths)}
    call(section_rope.section_angles, words, n, doubles={5: theta_scale, 6: 1.0}, seed=seed)
    rope = Rope(n_pairs, True, theta_scale, 1.0, 0.0, 1.0, (0.0, 0.0), np.ones(n_pairs, np.float32))
    arguments = rotate_arguments(out.address, n_heads, size, angles.address, rope)
    for token in range(n):
        rope_rotate(arguments.ctypes.data, token, 0)
    for each in (angles, out):
        each.assert_intact()
    return out.array


@settings(max_examples=60, deadline=None)
@given(
    n_rows=st.integers(1, 70),
    n_columns=st.integers(2, 700),
    epsilon=st.sampled_from([1e-5, 1e-6, 1e-2]),
    rows_per_chunk=st.integers(1, 80),
    mean=st.sampled_from([0.0, 1.0, -30.0]),
    seed=SEEDS,
)
def test_layer_norm_is_that_of_ggml(
    n_rows: int, n_columns: int, epsilon: float, rows_per_chunk: int, mean: float, seed: int
) -> None:
    generator = np.random.default_rng(seed)
    x = normals(generator, n_rows, n_columns)
    x += np.float32(mean) * np.abs(x).max(axis=1, keepdims=True) / 30
    weight, bias = normals(generator, n_columns), normals(generator, n_columns)
    found = normalized(x, weight, bias, epsilon, rows_per_chunk, seed)
    assert nmse(found, picture_operations.layer_norm(x, epsilon, weight, bias)) <= MAX_NMSE
    wide = x.astype(np.float64)
    centred = wide - wide.mean(axis=1, keepdims=True)
    exact = centred / np.sqrt((centred**2).mean(axis=1, keepdims=True) + epsilon) * weight + bias
    assert nmse(found, exact) <= 1e-10
    assert_same_bits(normalized(x[:1], weight, bias, epsilon, 1), found[:1])


def test_the_layer_norm_of_a_constant_row_is_the_bias() -> None:
    bias = np.arange(33, dtype=np.float32)
    found = normalized(np.full((2, 33), 7, np.float32), np.ones(33, np.float32), bias, 1e-6, 1)
    assert_same_bits(found, np.stack([bias, bias]))


@pytest.mark.parametrize("kind", ["tanh", "quick"])
@settings(max_examples=60, deadline=None)
@given(n_rows=st.integers(1, 70), n_columns=st.integers(1, 300), per_chunk=st.integers(1, 9000), seed=SEEDS)
def test_gelu_is_that_of_ggml(
    kind: Literal["tanh", "quick"], n_rows: int, n_columns: int, per_chunk: int, seed: int
) -> None:
    per_chunk = max(per_chunk, n_rows * n_columns // 200)
    x = np.random.default_rng(seed).standard_normal((n_rows, n_columns)).astype(np.float32) * 3
    kernel = gelu.gelu_quick if kind == "quick" else gelu.gelu
    found = activated(kernel, x, per_chunk, seed)
    # ggml rounds operand and result to halves, which alone is an error of up to 2^-11 in each.
    expected = picture_operations.gelu(x, kind)
    assert np.abs(found - expected).max() <= 2**-10 * max(1.0, float(np.abs(expected).max()))
    wide = x.astype(np.float64)
    twice = 1.702 * wide if kind == "quick" else 2 * np.sqrt(2 / np.pi) * (wide + 0.044715 * wide**3)
    # Far below 0 the result is tiny, and off by as much as its exponent's argument is rounded: as a share of itself by
    # 1e-6, of the operand by nothing. So the error is measured against the operand.
    error = ((found - wide / (1 + np.exp(-twice))) ** 2).sum()
    assert error <= 1e-13 * (wide**2).sum()
    assert_same_bits(found, activated(kernel, x, x.size))


@pytest.mark.parametrize("kernel", [gelu.gelu, gelu.gelu_quick], ids=lambda each: each.name)
def test_gelu_of_extreme_numbers(kernel: Kernel) -> None:
    found = activated(kernel, np.array([0, 1000, -1000, 60, -60, np.nan], np.float32), 6)
    assert found[[0, 1, 3]].tolist() == [0, 1000, 60]
    np.testing.assert_allclose(found[[2, 4]], 0, atol=1e-30)
    assert np.isnan(found[5])


@settings(max_examples=80, deadline=None)
@given(
    n=st.integers(1, 40),
    n_heads=st.integers(1, 6),
    lengths=st.tuples(st.integers(1, 30), st.integers(1, 30), st.integers(1, 30)),
    highest=st.sampled_from([100, 40_000]),
    base=st.sampled_from([10_000.0, 1_000_000.0]),
    seed=SEEDS,
)
def test_text_turns_by_sections_as_in_ggml(
    n: int, n_heads: int, lengths: tuple[int, int, int], highest: int, base: float, seed: int
) -> None:
    generator = np.random.default_rng(seed)
    size = 2 * sum(lengths)
    x, positions = normals(generator, n, n_heads, size), generator.integers(0, highest, (n, 3), np.int32)
    ends = np.cumsum(lengths).tolist()
    sections = [(end - length, end, 0) for end, length in zip(ends, lengths, strict=True)]
    theta_scale = float(np.float32(base ** float(np.float32(-2.0) / np.float32(size))))
    found = rotated(x, positions, sections, theta_scale, seed)
    places = np.vstack([positions.T, np.zeros((1, n), np.int32)])
    assert nmse(found, picture_operations.section_rope(x, places, (*lengths, 0), "text", base)) <= MAX_NMSE
    # One position for all sections is plain rotary embedding.
    alone = np.repeat(positions[:, :1], 3, axis=1)
    assert_same_bits(
        rotated(x, alone, sections, theta_scale), rotated(x, alone[:, :1], [(0, size // 2, 0)], theta_scale)
    )


@settings(max_examples=60, deadline=None)
@given(n=st.integers(1, 40), n_heads=st.integers(1, 6), quarter=st.integers(1, 40), seed=SEEDS)
def test_patches_turn_by_row_and_column_as_in_ggml(n: int, n_heads: int, quarter: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    x, positions = normals(generator, n, n_heads, 4 * quarter), generator.integers(0, 500, (n, 2), np.int32)
    theta_scale = float(np.float32(10000.0 ** float(np.float32(-2.0) / np.float32(2 * quarter))))
    sections = [(0, quarter, 0), (quarter, 2 * quarter, quarter)]
    found = rotated(x, positions, sections, theta_scale, seed)
    places = positions.T[[0, 1, 0, 1]]
    lengths = (quarter, quarter, quarter, quarter)
    assert nmse(found, picture_operations.section_rope(x, places, lengths, "vision", 10000.0)) <= MAX_NMSE


@settings(max_examples=40, deadline=None)
@given(n=st.integers(1, 70), n_given=st.integers(1, 70), n_columns=st.integers(1, 100), seed=SEEDS)
def test_given_rows_take_the_place_of_others(n: int, n_given: int, n_columns: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    before, given_rows = normals(generator, n, n_columns), normals(generator, n_given, n_columns)
    rows = generator.integers(-1, n_given, n).astype(np.int32)
    x = guarded((n, n_columns))
    x.array[...] = before
    words = {0: x.address, 1: address(rows), 2: address(given_rows), 3: n_columns}
    call(embedding.place_rows, words, n, seed=seed)
    x.assert_intact()
    assert_same_bits(x.array, np.where((rows >= 0)[:, None], given_rows[rows], before))
