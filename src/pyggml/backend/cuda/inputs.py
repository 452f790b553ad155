"""What changes from step to step: written into pinned memory, copied to addresses that never change."""

from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from pyggml.backend.protocol import Step
from pyggml_cuda import device
from pyggml_cuda.cache import PageTable


class StepInputs:
    """Room for the largest batch: `n_batch` tokens of `n_sequences` sequences, first rows of `n_columns` numbers.

    `n_tiles` is the most that attention may cut a batch into.
    """

    def __init__(self, n_batch: int, n_sequences: int, n_pages: int, n_tiles: int, n_columns: int) -> None:
        # Pages come last: no more of them is copied than there is. Sequences are told by where theirs begin.
        sizes = (n_batch, n_batch, n_batch, 2 * n_tiles, n_sequences * n_pages)
        self._host = device.pinned(4 * sum(sizes)).view(np.int32)
        bounds = np.cumsum([0, *sizes])
        parts = [self._host[start:end] for start, end in pairwise(bounds)]
        self._positions, self._sequences, self._outputs, self._tiles, self._pages = parts
        self._device = device.allocate(4 * sum(sizes))
        addresses = [int(self._device.data.ptr) + 4 * int(start) for start in bounds]
        self.positions, sequences, self.outputs, self.tiles, pages = addresses[:5]
        self.table = PageTable(pages, self.positions, sequences, stride=1)
        self._rows = device.pinned(4 * n_batch * n_columns).view(np.float32).reshape(n_batch, n_columns)
        self._device_rows = device.allocate(self._rows.nbytes)

    @property
    def rows(self) -> int:
        """The address of the rows that a graph begins with: embeddings, or what another graph computed."""
        return int(self._device_rows.data.ptr)

    def send(
        self,
        step: Step,
        tiles: npt.NDArray[np.int32],
        rows: npt.NDArray[np.float32],
        stream: Any,
    ) -> None:
        """Begin to copy the inputs of a step, which is padded; the step before has to be over."""
        n = len(step.tokens)
        self._positions[:n] = step.positions
        n_sequences, n_pages = step.page_table.shape
        self._sequences[:n] = np.minimum(step.sequences, n_sequences - 1) * n_pages
        self._outputs[: len(step.outputs)] = step.outputs
        self._tiles[: tiles.size] = tiles.reshape(-1)
        self._pages[: step.page_table.size] = step.page_table.reshape(-1)
        used = self._host[: len(self._host) - len(self._pages) + step.page_table.size]
        device.copy_to_device(int(self._device.data.ptr), used, stream)
        self._rows[: len(rows)] = rows
        device.copy_to_device(self.rows, self._rows[: len(rows)], stream)
