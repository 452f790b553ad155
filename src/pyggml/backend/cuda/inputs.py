"""What changes from step to step: written into pinned memory, copied to addresses that never change."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from pyggml.backend.graph import Node, SectionAngles, Value
from pyggml.backend.protocol import Step
from pyggml_cuda import device
from pyggml_cuda.cache import PageTable


def n_sections(nodes: Sequence[Node]) -> int:
    """How many positions a token has by section."""
    return max((len(node.rope.sections) for node in nodes if isinstance(node, SectionAngles)), default=0)


def with_given(rows: npt.NDArray[np.float32], step: Step) -> npt.NDArray[np.float32]:
    """The embeddings of a step, with the rows that are given in their places."""
    if step.given is not None and step.given_rows is not None:
        is_given = step.given_rows >= 0
        rows[is_given] = step.given[step.given_rows[is_given]]
    return rows


class StepInputs:
    """Room for the largest batch: `n_batch` tokens of `n_sequences` sequences, rows of each of the `first` values.

    `n_tiles` is the most that attention may cut a batch into, `n_sections` how many positions a token has by section.
    """

    def __init__(
        self,
        n_batch: int,
        n_sequences: int,
        n_pages: int,
        n_tiles: int,
        first: Sequence[Value],
        n_sections: int = 0,
    ) -> None:
        # Pages come last: no more of them is copied than there is. Sequences are told by where theirs begin.
        sizes = (n_batch, n_batch, n_batch, 3 * n_tiles, n_batch * n_sections, n_sequences * n_pages)
        self._host = device.pinned(4 * sum(sizes)).view(np.int32)
        bounds = np.cumsum([0, *sizes])
        parts = [self._host[start:end] for start, end in pairwise(bounds)]
        self._positions, self._sequences, self._outputs, self._tiles, sections, self._pages = parts
        self._section_positions = sections.reshape(n_batch, n_sections)
        self._device = device.allocate(4 * sum(sizes))
        addresses = [int(self._device.data.ptr) + 4 * int(start) for start in bounds]
        self.positions, sequences, self.outputs, self.tiles, self.section_positions, pages = addresses[:6]
        self.table = PageTable(pages, self.positions, sequences, stride=1)
        row_sizes = [4 * n_batch * value.n_columns for value in first]
        self._rows = [device.pinned(size).view(np.float32).reshape(n_batch, -1) for size in row_sizes]
        self._device_rows = {value.index: device.allocate(n) for value, n in zip(first, row_sizes, strict=True)}
        self._step: Step | None = None

    @property
    def step(self) -> Step:
        """The last step that was sent."""
        if self._step is None:
            raise TypeError("no step was sent yet")
        return self._step

    def rows(self, value: Value) -> int:
        """The address of rows that a graph begins with: embeddings, or what another graph computed."""
        return int(self._device_rows[value.index].data.ptr)

    def send(
        self,
        step: Step,
        tiles: npt.NDArray[np.int32],
        first_rows: Sequence[npt.NDArray[np.float32]],
        stream: Any,
    ) -> None:
        """Begin to copy a step's inputs; the step before has to be over."""
        n = len(step.tokens)
        self._positions[:n] = step.positions
        self._sequences[:n] = step.sequences * step.page_table.shape[1]
        self._outputs[: len(step.outputs)] = step.outputs
        self._tiles[: tiles.size] = tiles.reshape(-1)
        if step.section_positions is not None and self._section_positions.size:
            self._section_positions[:n] = step.section_positions
        self._pages[: step.page_table.size] = step.page_table.reshape(-1)
        used = self._host[: len(self._host) - len(self._pages) + step.page_table.size]
        device.copy_to_device(int(self._device.data.ptr), used, stream)
        for host, memory, rows in zip(self._rows, self._device_rows.values(), first_rows, strict=True):
            host[: len(rows)] = rows
            device.copy_to_device(int(memory.data.ptr), host[: len(rows)], stream)
        self._step = step
