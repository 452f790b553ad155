"""The largest of rows, by the kernels themselves in the emulator: number for number what the twin finds."""

import numpy as np
import numpy.typing as npt
import pytest

from pyggml_cuda import largest
from pyggml_reference import cuda_twins
from tests.cuda.emulation import Emulator

SPECIAL = np.array([np.nan, -np.nan, np.inf, -np.inf, 0.0, -0.0], np.float32)
KINDS = ("random", "tied", "rising", "special", "equal")


def rows_of(kind: str, shape: tuple[int, int]) -> npt.NDArray[np.float32]:
    """Rising: all that are largest stand side by side."""
    random = np.random.default_rng(shape[1])
    x = (random.standard_normal(shape) * 4).astype(np.float32)
    if kind == "tied":
        return np.round(x) * np.float32(0.5)
    if kind == "rising":
        return np.sort(x)
    if kind == "special":
        return np.where(random.random(shape) < 0.05, random.choice(SPECIAL, shape), x)
    return np.full_like(x, -np.inf) if kind == "equal" else x


SIZES = [(1, 40007, 100), (3, 2051, 40), (2, 32, 32), (2, 7, 3), (1, 300, 256)]


@pytest.mark.parametrize(
    ("kind", "n_rows", "n_columns", "n_kept"),
    [*((kind, *size) for kind in KINDS for size in SIZES), ("random", 2, 40000, largest.MAX_KEPT)],
)
def test_the_largest_of_rows(kind: str, n_rows: int, n_columns: int, n_kept: int) -> None:
    x, emulator = rows_of(kind, (n_rows, n_columns)), Emulator(1 << 22)
    source, maxima = emulator.put(x), emulator.allocate(largest.maxima_bytes(n_rows, n_columns))
    values, places = (emulator.allocate(4 * n_rows * n_kept) for _ in range(2))
    emulator.run(largest.group_maxima(source, maxima, n_rows, n_columns))
    emulator.run(largest.largest(source, maxima, values, places, n_rows, n_columns, n_kept))
    expected = cuda_twins.largest(x, n_kept)
    np.testing.assert_array_equal(emulator.get(places, np.int32, (n_rows, n_kept)), expected[1])
    found = emulator.get(values, np.uint32, (n_rows, n_kept))
    np.testing.assert_array_equal(found, expected[0].view(np.uint32))
