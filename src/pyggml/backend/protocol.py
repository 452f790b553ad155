"""What a backend is: it places weights, holds a cache, and compiles graphs for batch shapes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from pyggml.backend.graph import Graph, Rope


class Weight(Protocol):
    """A weight in its place on a device, in whatever layout that device likes."""

    @property
    def n_rows(self) -> int:
        """Rows: outputs of a matrix product; 1 for a vector."""

    @property
    def n_columns(self) -> int:
        """Columns: inputs of a matrix product."""


@dataclass(frozen=True)
class CacheShape:
    """The size and the formats of a paged cache."""

    n_layers: int
    n_kv_heads: int
    key_size: int
    value_size: int
    n_pages: int
    page_size: int
    key_format: str
    value_format: str


class Cache(Protocol):
    """Keys and values of all layers, in pages, on a device."""

    @property
    def shape(self) -> CacheShape:
        """Its size and formats."""

    def move(self, pages: Sequence[int], source: int, target: int, n: int, rope: Rope) -> None:
        """Move `n` positions of the sequence with these pages from `source` down to `target`, turning keys."""

    def copy_page(self, source: int, target: int) -> None:
        """Make the target page equal to the source page, in all layers."""

    def read(self, pages: Sequence[int], n: int) -> bytes:
        """The keys and values of the first `n` positions: layer, position, head, key and value."""

    def write(self, pages: Sequence[int], n: int, data: bytes) -> None:
        """What `read` gave, back again."""

    def bytes_of(self, n: int) -> int:
        """The length of what `read` gives for `n` positions."""


@dataclass(frozen=True)
class Step:
    """A batch of tokens and where their keys and values go."""

    tokens: npt.NDArray[np.int32]
    """(n_tokens,)"""
    positions: npt.NDArray[np.int32]
    """(n_tokens,), each in its own sequence"""
    sequences: npt.NDArray[np.int32]
    """(n_tokens,), rows of the page table"""
    page_table: npt.NDArray[np.int32]
    """(n_sequences, pages of the longest sequence)"""
    outputs: npt.NDArray[np.int32]
    """(n_outputs,), the tokens whose result is wanted, as indices into `tokens`"""
    section_positions: npt.NDArray[np.int32] | None = None
    """(n_tokens, n_sections), where the graph asks for them"""
    given: npt.NDArray[np.float32] | None = None
    """(n_given, n_embd), rows in place of embeddings"""
    given_rows: npt.NDArray[np.int32] | None = None
    """(n_tokens,), which of them stands for a token, below 0 for none"""


@dataclass(frozen=True)
class PictureStep:
    """The patches of a picture, in the order in which a tower computes them."""

    patches: npt.NDArray[np.float32]
    """(n_patches, numbers of a patch)"""
    places: npt.NDArray[np.int32]
    """(n_patches, 2), row and column"""
    windows: npt.NDArray[np.int32]
    """(n_patches,), the window in which each lies: from 0 on, patches of a window following each other"""
    order: npt.NDArray[np.int32]
    """(n_results,), the merged patches as they are wanted, as indices"""


class Executable(Protocol):
    """A graph compiled for a cache: runs any batch that the backend was made for."""

    def run(self, step: Step, *received: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """The graph's result, (n_outputs or n_tokens, columns); valid until the device runs anything else.

        `received` are the rows of each `Receive` that the graph begins with.
        """


@dataclass(frozen=True)
class Largest:
    """The largest results of each row, from the largest down, NaN before all."""

    values: npt.NDArray[np.float32]
    """(n_outputs, n)"""
    places: npt.NDArray[np.int32]
    """(n_outputs, n), the columns where they stand"""


@runtime_checkable
class RankingExecutable(Executable, Protocol):
    """One whose results can stay on the device, of which the largest are then enough at first."""

    def rank(self, step: Step, *received: npt.NDArray[np.float32]) -> Largest:
        """As `run`, for the largest of the graph's result; valid until the next run."""

    def row(self, output: int) -> npt.NDArray[np.float32]:
        """All results (columns,) of an output of the run before, which was ranked; valid until the next run."""


class Executor(Protocol):
    """What computes a model: a device, or several that share its layers."""

    def cache(self, shape: CacheShape) -> Cache:
        """A cache, all pages empty."""

    def compile(self, graph: Graph, cache: Cache) -> Executable:
        """Make a graph ready to run."""


class WeightStore(Protocol):
    """Where weights are placed."""

    def matrix(self, data: npt.NDArray[np.uint8], type_id: int, n_rows: int, n_columns: int) -> Weight:
        """Place a matrix to multiply with, given as the bytes of a GGUF tensor, which may be forgotten afterwards."""

    def table(self, data: npt.NDArray[np.uint8], type_id: int, n_rows: int, n_columns: int) -> Weight:
        """Place a matrix whose rows are looked up, given as the bytes of a GGUF tensor."""

    def vector(self, data: npt.NDArray[np.uint8], type_id: int, n_columns: int) -> Weight:
        """Place a vector; it is used as floats."""


class Backend(WeightStore, Executor, Protocol):
    """A device."""


class StreamedExecutable(Executable, Protocol):
    """A graph that a device computes with weights, keys and values in main memory."""

    def takes(self, step: Step) -> bool:
        """Whether there is room for a step's keys and values."""


class StreamingDevice(WeightStore, Protocol):
    """A device that fetches weights when it needs them: matrices stay where they were given, and are not forgotten."""

    def streams(self, graph: Graph) -> bool:
        """Whether matrices of all the graph's formats can be fetched faster than the CPU multiplies with them."""

    def compile(self, graph: Graph, cache: Cache) -> StreamedExecutable:
        """Make a graph ready to run, keys and values in the CPU's cache."""


@dataclass(frozen=True)
class TowerHeads:
    """The heads of a tower's attention, and the cache format that keys and values are rounded through."""

    n_heads: int
    head_size: int
    format: str


class TowerBackend(Backend, Protocol):
    """A device that computes the towers of pictures as well."""

    def look(self, graph: Graph, picture: PictureStep, heads: TowerHeads) -> npt.NDArray[np.float32]:
        """The result (n_results, columns) of a tower's graph for one picture."""
