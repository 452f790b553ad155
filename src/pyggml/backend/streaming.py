"""Layers of the CPU whose long batches a GPU computes: their weights are streamed to it, layer after layer.

A matrix that is read once for many tokens takes less time to be copied to a GPU and multiplied there than to be
multiplied on the CPU. Keys and values stay in the CPU's cache, so that it goes on with the next token.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from pyggml.backend.graph import Elsewhere, Graph, Node
from pyggml.backend.observation import Observe
from pyggml.backend.protocol import (
    Backend,
    Cache,
    CacheShape,
    Executable,
    Step,
    StreamedExecutable,
    StreamingDevice,
    Weight,
)
from pyggml.errors import DeviceMemoryError

#: Tokens from which on weights are streamed.
LEAST_TOKENS = 32

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class TwofoldWeight:
    """A weight as the CPU has it, and as it is streamed."""

    near: Weight
    streamed: Weight

    @property
    def n_rows(self) -> int:
        """See `Weight.n_rows`."""
        return self.near.n_rows

    @property
    def n_columns(self) -> int:
        """See `Weight.n_columns`."""
        return self.near.n_columns


class StreamingBackend:
    """The CPU, with a GPU for batches of `LEAST_TOKENS` tokens and more that it takes."""

    def __init__(self, cpu: Backend, gpu: StreamingDevice) -> None:
        self._cpu = cpu
        self._gpu = gpu

    def matrix(self, data: npt.NDArray[np.uint8], type_id: int, n_rows: int, n_columns: int) -> TwofoldWeight:
        """See `Backend.matrix`; what is streamed goes on reading `data`."""
        placed = (store.matrix(data, type_id, n_rows, n_columns) for store in (self._cpu, self._gpu))
        return TwofoldWeight(*placed)

    def table(self, data: npt.NDArray[np.uint8], type_id: int, n_rows: int, n_columns: int) -> TwofoldWeight:
        """See `Backend.table`."""
        placed = (store.table(data, type_id, n_rows, n_columns) for store in (self._cpu, self._gpu))
        return TwofoldWeight(*placed)

    def vector(self, data: npt.NDArray[np.uint8], type_id: int, n_columns: int) -> TwofoldWeight:
        """See `Backend.vector`."""
        return TwofoldWeight(*(store.vector(data, type_id, n_columns) for store in (self._cpu, self._gpu)))

    def cache(self, shape: CacheShape) -> Cache:
        """See `Backend.cache`: the CPU's."""
        return self._cpu.cache(shape)

    def compile(self, graph: Graph, cache: Cache) -> Executable:
        """See `Backend.compile`."""
        near = self._cpu.compile(_with_weights(graph, lambda weight: weight.near), cache)
        streamed = _with_weights(graph, lambda weight: weight.streamed)
        # What a GPU multiplies is not observed, and without layers there is nothing to stream.
        is_bound = any(isinstance(node, Observe | Elsewhere) for node in graph.nodes)
        if is_bound or not graph.layer_starts or not self._gpu.streams(streamed):
            return near
        return ChosenExecutable(near, lambda: self._gpu.compile(streamed, cache))


class ChosenExecutable:
    """A graph on the CPU, and from its first long batch on streamed as well.

    If the GPU has no room for that, the CPU computes everything.
    """

    def __init__(self, near: Executable, compile_streamed: Callable[[], StreamedExecutable]) -> None:
        self._near = near
        self._compile_streamed = compile_streamed
        self._streamed: StreamedExecutable | None = None
        self._has_room = True

    def run(self, step: Step, *received: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """See `Executable.run`."""
        if self._has_room and len(step.tokens) >= LEAST_TOKENS:
            try:
                if self._streamed is None:
                    self._streamed = self._compile_streamed()
                if self._streamed.takes(step):
                    return self._streamed.run(step, *received)
            except DeviceMemoryError as error:
                _logger.warning("the GPU computes no more long prompts of the CPU's layers: %s", error)
                self._has_room, self._streamed = False, None
        return self._near.run(step, *received)


def _with_weights(graph: Graph, choose: Callable[[TwofoldWeight], Weight]) -> Graph:
    """The graph with one side of its weights."""
    result = Graph()
    result.nodes = [_with_own(node, choose) for node in graph.nodes]
    result.layer_starts = graph.layer_starts
    return result


def _with_own(node: Node, choose: Callable[[TwofoldWeight], Weight]) -> Node:
    operands = ((each.name, getattr(node, each.name)) for each in fields(node))
    changes: dict[str, Any] = {name: choose(value) for name, value in operands if isinstance(value, TwofoldWeight)}
    return replace(node, **changes)
