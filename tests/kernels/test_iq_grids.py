"""The code books of the IQ formats against those of gguf-py."""

from typing import Any

import gguf.quants
import numpy as np
import numpy.typing as npt
import pytest

from pyggml_kernels.formats import iq_grids


def levels(grid: npt.NDArray[np.uint64], n: int) -> npt.NDArray[np.uint8]:
    """The lowest `n` bytes of each word."""
    each_byte = np.arange(n, dtype=np.uint64) * np.uint64(8)
    return ((grid[:, None] >> each_byte) & np.uint64(255)).astype(np.uint8)


@pytest.mark.parametrize("name", ["IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ3_XXS", "IQ3_S", "IQ1_S"])
def test_each_book_has_the_runs_of_gguf_py(name: str) -> None:
    grid = getattr(iq_grids, f"{name.replace('IQ1_S', 'IQ1')}_GRID")
    expected: Any = getattr(gguf.quants, name)
    expected.init_grid()
    runs = expected.grid.reshape(expected.grid_shape)
    if name == "IQ1_S":
        runs = runs * 8 + 8
    found = levels(grid, runs.shape[1])
    np.testing.assert_array_equal(found, runs)
    assert (found.reshape(len(grid), -1).view(f"<u{runs.shape[1]}").reshape(-1) == grid).all(), "more in a word"
