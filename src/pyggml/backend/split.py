"""A model's layers shared out among devices, which compute one after the other; hidden states pass between them.

They pass through the host's memory: there a device's result lies, with which the next device's graph begins.
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby, pairwise

import numpy as np
import numpy.typing as npt

from pyggml.backend.graph import Graph, Rope
from pyggml.backend.protocol import Backend, Cache, CacheShape, Executable, Largest, RankingExecutable, Step
from pyggml.backend.segments import cut


class LayerSplit:
    """Computes with a backend for each layer, and a last one for the output behind them."""

    def __init__(self, layers: Sequence[Backend]) -> None:
        runs = [next(run) for _, run in groupby(range(len(layers)), key=lambda layer: id(layers[layer]))]
        self._first_layers = runs
        self._backends = [layers[first] for first in runs]

    def cache(self, shape: CacheShape) -> "SplitCache":
        """See `Executor.cache`: each device keeps the keys and values of its own layers."""
        sizes = [end - first for first, end in pairwise([*self._first_layers, shape.n_layers])]
        parts = [backend.cache(replace(shape, n_layers=n)) for backend, n in zip(self._backends, sizes, strict=True)]
        return SplitCache(shape, parts)

    def compile(self, graph: Graph, cache: Cache) -> "SplitExecutable":
        """See `Executor.compile`."""
        if not isinstance(cache, SplitCache):
            raise TypeError("a plan for several devices needs a cache on all of them")
        shares = zip(self._backends, cut(graph, self._first_layers), cache.parts, strict=False)
        *parts, last = [backend.compile(part, its_cache) for backend, part, its_cache in shares]
        return RankingSplit(parts, last) if isinstance(last, RankingExecutable) else SplitExecutable(parts, last)


class SplitCache:
    """Pages of keys and values, those of each layer on its device."""

    def __init__(self, shape: CacheShape, parts: Sequence[Cache]) -> None:
        self.shape = shape
        self.parts = parts
        # What has only the output keeps nothing.
        self._holders = [part for part in parts if part.shape.n_layers]

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

    def run(self, step: Step, received: npt.NDArray[np.float32] | None = None) -> npt.NDArray[np.float32]:
        """See `Executable.run`."""
        return self._last.run(step, self._up_to_last(step, received))

    def _up_to_last(self, step: Step, rows: npt.NDArray[np.float32] | None) -> npt.NDArray[np.float32] | None:
        for part in self._parts:
            rows = part.run(step, rows)
        return rows


class RankingSplit(SplitExecutable):
    """One whose last part can rank its results."""

    _last: RankingExecutable

    def rank(self, step: Step, received: npt.NDArray[np.float32] | None = None) -> Largest:
        """See `RankingExecutable.rank`."""
        return self._last.rank(step, self._up_to_last(step, received))

    def row(self, output: int) -> npt.NDArray[np.float32]:
        """See `RankingExecutable.row`."""
        return self._last.row(output)
