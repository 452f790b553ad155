"""A format whose weights are runs from a code book: its quantizer gets a table of the runs near to others."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt

from pyggml_kernels.formats.format import LevelFormat


@dataclass(frozen=True)
class BookFormat(LevelFormat):
    """Argument 7 of the quantizer is the address of the table (`formats.book_neighbours`)."""

    neighbours: Callable[[], npt.NDArray[np.int32]] = field(kw_only=True)
    """Makes the table, some tenths of a second, when weights are first quantized."""

    @cached_property
    def _table(self) -> npt.NDArray[np.int32]:
        return self.neighbours()

    def _extra_address(self) -> int:
        return int(self._table.ctypes.data)
