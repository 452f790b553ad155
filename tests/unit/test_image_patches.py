"""The size at which a picture is seen, what is left black, and the order of its patches."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyggml.image import PatchGrid, SizeLimits, cut_into_patches, fit_to_patches, normalized
from pyggml.models.windows import windows_of

LIMITS = SizeLimits(28, 8 * 28**2, 4096 * 28**2)


@settings(max_examples=300, deadline=None)
@given(width=st.integers(1, 20_000), height=st.integers(1, 20_000))
def test_sizes_are_multiples_within_the_limits(width: int, height: int) -> None:
    w, h = LIMITS.size(width, height)
    assert w % 28 == h % 28 == 0
    assert min(w, h) >= 28
    # A side is never less than one patch, so that a thread of a picture may be larger than allowed.
    assert w * h <= LIMITS.max_pixels or min(w, h) == 28
    assert w * h >= LIMITS.min_pixels


@pytest.mark.parametrize(
    ("size", "seen"),
    [
        ((224, 224), (224, 224)),
        ((1, 1), (84, 84)),
        ((14, 1400), (28, 1400)),  # half a patch is rounded up
        ((1000, 1000), (1008, 1008)),
        ((4000, 3000), (2044, 1540)),
    ],
)
def test_sizes_as_llama_cpp_has_them(size: tuple[int, int], seen: tuple[int, int]) -> None:
    assert LIMITS.size(*size) == seen


def test_proportions_stay_and_the_rest_is_black() -> None:
    seen = fit_to_patches(np.full((30, 100, 3), 255, np.uint8), SizeLimits(28, 28**2, 28**2 * 100))
    assert seen.shape == (28, 112, 3)
    assert (seen[:, 9:103] > 0).all()
    assert not seen[:, :9].any()
    assert not seen[:, 103:].any()


def test_a_picture_that_fits_stays_as_it_is() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (56, 84, 3), np.uint8)
    np.testing.assert_array_equal(fit_to_patches(pixels, SizeLimits(28, 28**2, 28**2 * 100)), pixels)


def test_colours_are_normalized() -> None:
    found = normalized(np.array([[[0, 51, 255]]], np.uint8), [0.5, 0.2, 0.0], [0.5, 1.0, 0.25])
    np.testing.assert_allclose(found[0, 0], [-1, 0, 4], atol=1e-7)
    assert found.dtype == np.float32


@settings(max_examples=40, deadline=None)
@given(rows=st.integers(1, 6), columns=st.integers(1, 6), size=st.integers(1, 4), seed=st.integers(0, 99))
def test_patches_lie_where_the_grid_says(rows: int, columns: int, size: int, seed: int) -> None:
    picture = np.random.default_rng(seed).random((2 * size * rows, 2 * size * columns, 3), np.float32)
    patches, grid = cut_into_patches(picture, size)
    assert grid == PatchGrid(rows, columns)
    places = grid.places()
    assert len(np.unique(places, axis=0)) == len(patches) == 4 * grid.n_merged
    for patch, (row, column) in zip(patches, places, strict=True):
        square = picture[row * size : (row + 1) * size, column * size : (column + 1) * size]
        np.testing.assert_array_equal(patch.reshape(3, size, size), square.transpose(2, 0, 1))
    # Four that follow each other are one square.
    corners = places.reshape(-1, 4, 2)
    assert (corners - corners[:, :1] == [[0, 0], [0, 1], [1, 0], [1, 1]]).all()


@settings(max_examples=40, deadline=None)
@given(rows=st.integers(1, 12), columns=st.integers(1, 12), side=st.integers(1, 5))
def test_windows_are_squares_one_behind_the_other(rows: int, columns: int, side: int) -> None:
    order, windows = windows_of(PatchGrid(rows, columns), side)
    assert sorted(order) == list(range(rows * columns))
    assert (np.diff(windows) >= 0).all()
    assert set(windows) == set(range(-(-rows // side) * -(-columns // side)))
    for window in set(windows):
        inside = order[windows == window]
        assert (np.diff(inside) > 0).all()
        assert np.ptp(inside // columns) < side
        assert np.ptp(inside % columns) < side
