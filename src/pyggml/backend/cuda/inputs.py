"""What changes from step to step: written into pinned memory, copied to addresses that never change."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from pyggml.backend.graph import Node, SectionAngles
from pyggml.backend.protocol import Step
from pyggml_cuda import device
from pyggml_cuda.cache import PageTable


def n_sections(nodes: Sequence[Node]) -> int:
    """How many positions a token has by section."""
    return max((len(node.rope.sections) for node in nodes if isinstance(node, SectionAngles)), default=0)


class StepInputs:
    """Room for the largest batch: `n_batch` tokens of `n_sequences` sequences, first rows of `n_columns` numbers.

    `n_tiles` is the most that attention may cut a batch into, `n_sections` how many positions a token has by section.
    """

    def __init__(
        self, n_batch: int, n_sequences: int, n_pages: int, n_tiles: int, n_columns: int, n_sections: int = 0
    ) -> None:
        # Tiles come first: kernels read two of their numbers at once.
        sizes = (2 * n_tiles, n_batch, n_batch, n_batch, n_batch * n_sections, n_sequences * n_pages)
        self._host = device.pinned(4 * sum(sizes)).view(np.int32)
        bounds = np.cumsum([0, *sizes])
        parts = [self._host[start:end] for start, end in pairwise(bounds)]
        self._tiles, self._positions, self._sequences, self._outputs, sections, pages = parts
        self._section_positions = sections.reshape(n_batch, n_sections)
        self._pages = pages.reshape(n_sequences, n_pages)
        self._device = device.allocate(4 * sum(sizes))
        addresses = [int(self._device.data.ptr) + 4 * int(start) for start in bounds]
        self.tiles, self.positions, sequences, self.outputs, self.section_positions, self._page_address = addresses[:6]
        self.table = PageTable(self._page_address, self.positions, sequences, n_pages)
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
        """Begin to copy a step's inputs; the step before has to be over."""
        n = len(step.tokens)
        self._positions[:n] = step.positions
        self._sequences[:n] = step.sequences
        self._outputs[: len(step.outputs)] = step.outputs
        self._tiles[: tiles.size] = tiles.reshape(-1)
        if step.section_positions is not None and self._section_positions.size:
            self._section_positions[:n] = step.section_positions
        n_sequences, n_pages = step.page_table.shape
        self._pages[:n_sequences, :n_pages] = step.page_table
        used = self._host[: len(self._host) - self._pages.size + n_sequences * self._pages.shape[1]]
        device.copy_to_device(int(self._device.data.ptr), used, stream)
        self._rows[: len(rows)] = rows
        device.copy_to_device(self.rows, self._rows[: len(rows)], stream)
