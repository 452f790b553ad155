"""A model's layers shared out among devices, which compute one after the other; hidden states pass between them.

They pass through the host's memory: there a device's result lies, with which the next device's graph begins.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import groupby, pairwise

import numpy as np
import numpy.typing as npt

from pyggml.backend.delegation import delegate
from pyggml.backend.graph import Attention, Graph, Linear, Node, RMSNorm, Rope, Rotate
from pyggml.backend.overrides import TensorOverride
from pyggml.backend.protocol import Backend, Cache, CacheShape, Executable, Largest, RankingExecutable, Step
from pyggml.backend.segments import cut


class LayerSplit:
    """Computes with a backend for each layer, and a last one for the output behind them.

    A `keeper` keeps the keys and values of all layers, and computes their attention; `overrides` hold weights that lie
    elsewhere than their layer, and operations with them are computed there.
    """

    def __init__(
        self,
        layers: Sequence[Backend],
        keeper: Backend | None = None,
        overrides: Sequence[TensorOverride[Backend]] = (),
    ) -> None:
        runs = [next(run) for _, run in groupby(range(len(layers)), key=lambda layer: id(layers[layer]))]
        self._first_layers = runs
        self._backends = [layers[first] for first in runs]
        self._keeper = keeper
        self._overrides = overrides

    def cache(self, shape: CacheShape) -> "SplitCache":
        """See `Executor.cache`: each device keeps the keys and values of its own layers, or one those of all."""
        sizes = [end - first for first, end in pairwise([*self._first_layers, shape.n_layers])]
        kept = {id(backend): n for backend, n in zip(self._backends, sizes, strict=True)}
        if self._keeper:
            kept = {id(self._keeper): shape.n_layers}
        others = [override.store for override in self._overrides]
        devices = {id(each): each for each in (*self._backends, *([self._keeper] if self._keeper else []), *others)}
        return SplitCache(
            shape, {key: each.cache(replace(shape, n_layers=kept.get(key, 0))) for key, each in devices.items()}
        )

    def compile(self, graph: Graph, cache: Cache) -> "SplitExecutable":
        """See `Executor.compile`."""
        if not isinstance(cache, SplitCache):
            raise TypeError("a plan for several devices needs a cache on all of them")
        shares = zip(self._backends, self._first_layers, cut(graph, self._first_layers), strict=False)
        *parts, last = [self._compiled(home, part, first, cache) for home, first, part in shares]
        return RankingSplit(parts, last) if isinstance(last, RankingExecutable) else SplitExecutable(parts, last)

    def _compiled(self, home: Backend, part: Graph, first_layer: int, cache: "SplitCache") -> Executable:
        """A part on its device, which has others compute what is not there."""

        def place(node: Node) -> Backend | None:
            where = self._place(node) or home
            return where if where is not home else None

        def compile_for(backend: Backend, inner: Graph) -> Executable:
            return backend.compile(inner, cache.part_of(backend))

        # The keeper counts all layers, a part its own.
        return home.compile(delegate(part, place, compile_for, first_layer), cache.part_of(home))

    def _place(self, node: Node) -> Backend | None:
        if isinstance(node, Attention | Rotate):
            return self._keeper
        weight = node.weight if isinstance(node, Linear | RMSNorm) else None
        return next((override.store for override in self._overrides if override.holds(weight)), None)


class SplitCache:
    """Pages of keys and values, those of each layer on one of the devices, which are named by their `id`, in order."""

    def __init__(self, shape: CacheShape, parts: Mapping[int, Cache]) -> None:
        self.shape = shape
        self._parts = parts
        # What has only the output keeps nothing.
        self._holders = [part for part in parts.values() if part.shape.n_layers]

    def part_of(self, backend: Backend) -> Cache:
        """What this device keeps."""
        return self._parts[id(backend)]

    def move(self, pages: Sequence[int], source: int, target: int, n: int, rope: Rope) -> None:
        """See `Cache.move`."""
        for part in self._holders:
            part.move(pages, source, target, n, rope)

    def copy_page(self, source: int, target: int) -> None:
        """See `Cache.copy_page`."""
        for part in self._holders:
            part.copy_page(source, target)

    def read(self, pages: Sequence[int], n: int) -> bytes:
        """See `Cache.read`."""
        return b"".join(part.read(pages, n) for part in self._holders)

    def write(self, pages: Sequence[int], n: int, data: bytes) -> None:
        """See `Cache.write`."""
        start = 0
        for part in self._holders:
            end = start + part.bytes_of(n)
            part.write(pages, n, data[start:end])
            start = end

    def bytes_of(self, n: int) -> int:
        """See `Cache.bytes_of`."""
        return sum(part.bytes_of(n) for part in self._holders)


class SplitExecutable:
    """The parts of one graph, in order."""

    def __init__(self, parts: Sequence[Executable], last: Executable) -> None:
        self._parts = parts
        self._last = last

    def run(self, step: Step, *received: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """See `Executable.run`."""
        return self._last.run(step, *self._up_to_last(step, received))

    def _up_to_last(self, step: Step, rows: tuple[npt.NDArray[np.float32], ...]) -> tuple[npt.NDArray[np.float32], ...]:
        for part in self._parts:
            rows = (part.run(step, *rows),)
        return rows


class RankingSplit(SplitExecutable):
    """One whose last part can rank its results."""

    _last: RankingExecutable

    def rank(self, step: Step, *received: npt.NDArray[np.float32]) -> Largest:
        """See `RankingExecutable.rank`."""
        return self._last.rank(step, *self._up_to_last(step, received))

    def row(self, output: int) -> npt.NDArray[np.float32]:
        """See `RankingExecutable.row`."""
        return self._last.row(output)
