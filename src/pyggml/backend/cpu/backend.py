"""Placing weights, holding memory, compiling graphs for batch shapes and running them."""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise, zip_longest

import numpy as np
import numpy.typing as npt

from pyggml.backend.arena import ALIGNMENT, lay_out
from pyggml.backend.cpu.cache import CPUCache
from pyggml.backend.cpu.inputs import StepInputs
from pyggml.backend.cpu.large_pages import TileMemory
from pyggml.backend.cpu.lowering import Lowering, scratch_bytes
from pyggml.backend.cpu.memory import Memory
from pyggml.backend.cpu.quantization import insert_conversions
from pyggml.backend.cpu.tower import look
from pyggml.backend.cpu.weights import CPUWeight, place_matrix, place_table, place_vector
from pyggml.backend.graph import Elsewhere, Graph, Receive, Rows, Value
from pyggml.backend.protocol import Cache, CacheShape, PictureStep, Step, TowerHeads
from pyggml.errors import UsageError
from pyggml_kernels.formats import FORMATS, Format
from pyggml_kernels.plan import Plan
from pyggml_kernels.simd.cpu import tier
from pyggml_kernels.threads import WorkerPool, available_cores

#: Batch shapes whose plans are kept. A plan is made in 10 us an operation, longer than a small model takes for a token:
#: a server meets a shape for each number of requests that generate, and others while prompts join them.
_MAX_PLANS = 64


class _Block:
    """Memory that only ever grows, aligned to a cache line."""

    def __init__(self) -> None:
        self._memory = np.zeros(0, np.uint8)
        self.address = 0

    def grow(self, n_bytes: int) -> bool:
        """Make room; True if the address changed."""
        if n_bytes + ALIGNMENT <= self._memory.size:
            return False
        self._memory = np.zeros(n_bytes + ALIGNMENT, np.uint8)
        self.address = int(self._memory.ctypes.data) + -int(self._memory.ctypes.data) % ALIGNMENT
        return True

    def floats(self, offset: int, n_rows: int, n_columns: int) -> npt.NDArray[np.float32]:
        """A view of floats at an offset from the address."""
        start = self.address - int(self._memory.ctypes.data) + offset
        return self._memory[start : start + 4 * n_rows * n_columns].view(np.float32).reshape(n_rows, n_columns)


class CPUBackend:
    """All cores, or `n_threads` of them, for batches of up to `n_batch` tokens of `n_sequences` sequences.

    `formats` are those of weights, by their numbers. UsageError if `PYGGML_SIMD` asks for what the CPU does not have.
    """

    def __init__(
        self, n_threads: int | None, n_batch: int, n_sequences: int, formats: Mapping[int, Format] = FORMATS
    ) -> None:
        try:
            tier()
        except ValueError as error:
            raise UsageError(str(error)) from None
        self._pool = WorkerPool(n_threads or available_cores())
        self._formats = formats
        self._tiles = TileMemory()
        self._arena, self._scratch = _Block(), _Block()
        self._n_batch = n_batch
        self._n_sequences = n_sequences

    @property
    def n_threads(self) -> int:
        """How many workers there are."""
        return self._pool.n_workers

    def matrix(self, data: npt.NDArray[np.uint8], type_id: int, n_rows: int, n_columns: int) -> CPUWeight:
        """See `Backend.matrix`."""
        return place_matrix(data, self._formats[type_id], n_rows, n_columns, self._pool, self._tiles)

    def table(self, data: npt.NDArray[np.uint8], type_id: int, n_rows: int, n_columns: int) -> CPUWeight:
        """See `Backend.table`."""
        return place_table(data, self._formats[type_id], n_rows, n_columns)

    def vector(self, data: npt.NDArray[np.uint8], type_id: int, n_columns: int) -> CPUWeight:
        """See `Backend.vector`."""
        return place_vector(data, self._formats[type_id], n_columns)

    def cache(self, shape: CacheShape) -> CPUCache:
        """See `Backend.cache`."""
        return CPUCache(shape)

    def compile(self, graph: Graph, cache: Cache) -> "CPUExecutable":
        """See `Backend.compile`."""
        if not isinstance(cache, CPUCache):
            raise TypeError("a CPU plan needs a cache on the CPU")
        blocks = self._arena, self._scratch
        return CPUExecutable(graph, cache, self._pool, self._n_batch, self._n_sequences, blocks)

    def look(self, graph: Graph, picture: PictureStep, heads: TowerHeads) -> npt.NDArray[np.float32]:
        """See `TowerBackend.look`."""
        return look(graph, picture, heads, self._pool)


@dataclass(frozen=True)
class _Plans:
    """The kernel calls of a batch shape, up to each operation that another device computes."""

    plans: Sequence[Plan]
    offsets: Mapping[int, int]
    addresses: tuple[int, int]
    """Where the arena and the scratch were."""


class CPUExecutable:
    """One graph's plans, by batch shape, over the memory of values and of scratch that its backend has."""

    def __init__(
        self,
        graph: Graph,
        cache: CPUCache,
        pool: WorkerPool,
        n_batch: int,
        n_sequences: int,
        blocks: tuple[_Block, _Block],
    ) -> None:
        self._nodes = insert_conversions(graph.nodes)
        self._result = graph.result
        self._cache = cache
        self._pool = pool
        self._inputs = StepInputs(n_batch, n_sequences, cache.shape.n_pages, graph.nodes)
        self._arena, self._scratch = blocks
        needed = max(scratch_bytes(node, cache) for node in self._nodes)
        self._scratch_bytes = -(-needed // ALIGNMENT) * ALIGNMENT
        self._scratch.grow(self._scratch_bytes * pool.n_workers)
        self._plans: OrderedDict[tuple[int, int], _Plans] = OrderedDict()
        self._receives = [node.output for node in self._nodes if isinstance(node, Receive)]
        self._elsewhere = [node for node in self._nodes if isinstance(node, Elsewhere)]

    def run(self, step: Step, *received: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """See `Executable.run`."""
        self._inputs.fill(step)
        n_rows: dict[Rows, int] = {"tokens": len(step.tokens), "outputs": len(step.outputs)}
        planned = self._planned(n_rows)

        def view(value: Value) -> npt.NDArray[np.float32]:
            return self._arena.floats(planned.offsets[value.index], n_rows[value.rows], value.n_columns)

        for value, rows in zip(self._receives, received, strict=True):
            view(value)[:] = rows
        for plan, node in zip_longest(planned.plans, self._elsewhere):
            self._pool.run(plan)
            if node is not None:
                view(node.output)[:] = node.executable.run(step, *map(view, node.operands))
        return view(self._result)

    def _planned(self, n_rows: dict[Rows, int]) -> _Plans:
        """The plans for a batch shape and where its values lie in the arena."""
        shape = (n_rows["tokens"], n_rows["outputs"])
        if shape not in self._plans or self._plans[shape].addresses != (self._arena.address, self._scratch.address):
            self._plans[shape] = self._lowered(n_rows)
            if len(self._plans) > _MAX_PLANS:
                self._plans.popitem(last=False)
        self._plans.move_to_end(shape)
        return self._plans[shape]

    def _lowered(self, n_rows: dict[Rows, int]) -> _Plans:
        offsets, n_bytes = lay_out(self._nodes, n_rows)
        self._arena.grow(n_bytes)
        memory = Memory(self._arena.address, offsets, self._scratch.address, self._scratch_bytes)
        lowering = Lowering(memory, self._cache, self._inputs, n_rows, self._pool.n_workers)
        bounds = [0, *[i + 1 for i, node in enumerate(self._nodes) if isinstance(node, Elsewhere)], len(self._nodes)]
        calls = [lowering.lower(self._nodes[start:end]) for start, end in pairwise(bounds)]
        plans = [Plan(each, keep=lowering.constants) for each in calls]
        return _Plans(plans, offsets, (self._arena.address, self._scratch.address))
