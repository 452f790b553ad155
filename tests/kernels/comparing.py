"""Outputs with guard bytes around them, and comparison of floats bit by bit."""

from typing import Any

import numpy as np
import numpy.typing as npt

N_GUARD_BYTES = 4096
GUARD = 0xA5


class Guarded:
    """An array filled with guard bytes, with more of them before and after it."""

    def __init__(self, shape: tuple[int, ...], dtype: npt.DTypeLike) -> None:
        n_bytes = int(np.prod(shape)) * np.dtype(dtype).itemsize
        self._bytes = np.full(n_bytes + 2 * N_GUARD_BYTES, GUARD, np.uint8)
        self.array: npt.NDArray[Any] = self._bytes[N_GUARD_BYTES : N_GUARD_BYTES + n_bytes].view(dtype).reshape(shape)

    @property
    def address(self) -> int:
        return int(self.array.ctypes.data)

    def assert_intact(self) -> None:
        """Nothing before or after the array was written."""
        assert (self._bytes[:N_GUARD_BYTES] == GUARD).all(), "written before the output"
        assert (self._bytes[-N_GUARD_BYTES:] == GUARD).all(), "written behind the output"

    def assert_untouched(self) -> None:
        """Nothing at all was written."""
        assert (self._bytes == GUARD).all(), "written, though it should not be"


def assert_same_bits(found: npt.NDArray[np.float32], expected: npt.NDArray[np.float32]) -> None:
    """Every bit equal, the sign of zeros too; NaNs are equal to each other whatever their payload."""
    assert found.dtype == expected.dtype == np.float32
    assert found.shape == expected.shape
    same = (found.view(np.uint32) == expected.view(np.uint32)) | (np.isnan(found) & np.isnan(expected))
    where = np.flatnonzero(~same)
    assert where.size == 0, (
        f"{where.size} of {same.size} differ, the first at {where[0]}: "
        f"{found.reshape(-1)[where[0]]!r}, not {expected.reshape(-1)[where[0]]!r}"
    )
