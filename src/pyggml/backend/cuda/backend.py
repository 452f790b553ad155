"""Placing weights, compiling graphs for batch shapes and running them on one GPU."""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pyggml.backend.cuda.cache import CUDACache
from pyggml.backend.cuda.exchange import Exchange
from pyggml.backend.cuda.failures import at_work, room_for
from pyggml.backend.cuda.inputs import StepInputs, n_sections
from pyggml.backend.cuda.lowering import Lowering
from pyggml.backend.cuda.memory import Arena, addresses, lay_out
from pyggml.backend.cuda.tower import look
from pyggml.backend.cuda.weights import CUDAWeight, HostTable, host_table, new_lanes, place_matrix, place_vector
from pyggml.backend.graph import Attention, Embed, Graph, Receive, Rows
from pyggml.backend.observation import Observe
from pyggml.backend.protocol import Cache, CacheShape, PictureStep, Step, TowerHeads
from pyggml.errors import UsageError
from pyggml_cuda import attention, device
from pyggml_cuda.attention import AttentionShape
from pyggml_cuda.cache import CACHE_FORMATS
from pyggml_cuda.lanes import Lanes
from pyggml_kernels.formats import FORMATS

#: Batch shapes whose plans are kept: one token with contexts of growing length, a full batch, and remainders.
_MAX_PLANS = 24


class CUDABackend:
    """The GPU of this number, for batches of up to `n_batch` tokens of `n_sequences` sequences."""

    def __init__(self, n_batch: int, n_sequences: int, number: int = 0) -> None:
        self._n_batch = n_batch
        self._n_sequences = n_sequences
        self._number = number
        self._lanes: Lanes | None = None
        self._arena = Arena()

    def matrix(self, data: npt.NDArray[np.uint8], type_id: int, n_rows: int, n_columns: int) -> CUDAWeight:
        """See `Backend.matrix`."""
        if self._lanes is None:
            self._lanes = new_lanes(self._number)
        return place_matrix(data, FORMATS[type_id], n_rows, n_columns, self._number, self._lanes)

    def table(self, data: npt.NDArray[np.uint8], type_id: int, n_rows: int, n_columns: int) -> HostTable:
        """See `Backend.table`."""
        return HostTable(FORMATS[type_id], data, n_rows, n_columns)

    def vector(self, data: npt.NDArray[np.uint8], type_id: int, n_columns: int) -> CUDAWeight:
        """See `Backend.vector`."""
        return place_vector(data, FORMATS[type_id], n_columns, self._number)

    def cache(self, shape: CacheShape) -> CUDACache:
        """See `Backend.cache`."""
        what = f"the key/value cache of {shape.n_layers} layers and {shape.n_pages * shape.page_size} positions"
        with room_for(what, self._number):
            return CUDACache(shape, self._number)

    def compile(self, graph: Graph, cache: Cache) -> "CUDAExecutable":
        """See `Backend.compile`."""
        if not isinstance(cache, CUDACache):
            raise TypeError("a CUDA plan needs a cache on the GPU")
        if any(isinstance(node, Observe) for node in graph.nodes):
            raise UsageError("inputs of weights cannot be summed up on a GPU: load the model with -ngl 0")
        self._await_weights()
        with room_for(f"what comes with a batch of {self._n_batch} tokens", self._number):
            return CUDAExecutable(graph, cache, self._n_batch, self._n_sequences, self._number, self._arena)

    def look(self, graph: Graph, picture: PictureStep, heads: TowerHeads) -> npt.NDArray[np.float32]:
        """See `TowerBackend.look`."""
        self._await_weights()
        return look(graph, picture, heads, self._number)

    def _await_weights(self) -> None:
        if self._lanes is not None:
            with at_work(self._number):
                self._lanes.close()
            self._lanes = None


@dataclass
class _Plan:
    """The launches of a batch shape; a graph from their second run on."""

    actions: list[device.Action]
    result: int
    arena: int
    """Where the arena was."""
    capturable: bool
    """Whether a graph can hold them: there have to be some, and CuPy does not let cuBLAS be captured."""
    n_runs: int = 0
    graph: Any = None


class CUDAExecutable:
    """One graph's plans, by batch shape, over the memory that its backend has, on the GPU of this number: the current
    one when it is made."""

    def __init__(
        self, graph: Graph, cache: CUDACache, n_batch: int, n_sequences: int, number: int, arena: Arena
    ) -> None:
        self._number = number
        self._nodes = graph.nodes
        self._result = graph.result
        self._cache = cache
        self._group = _group(graph, cache)
        self._query_warps = query_warps(cache.shape)
        first = [node for node in graph.nodes if isinstance(node, Embed | Receive)]
        self._tables = [host_table(node.table) for node in first if isinstance(node, Embed)]
        self._n_received = len(first) - len(self._tables)
        n_tiles = n_batch * (self._group + 1)
        self._inputs = StepInputs(
            n_batch,
            n_sequences,
            cache.shape.n_pages,
            n_tiles,
            [node.output for node in first],
            n_sections(graph.nodes),
        )
        self._exchange = Exchange()
        self._stream = device.new_stream()
        self._arena = arena
        self._host_result = np.zeros(0, np.uint8)
        self._kept: dict[int, Any] = {}
        self._plans: OrderedDict[tuple[int, int, AttentionShape], _Plan] = OrderedDict()

    def run(self, step: Step, *received: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """See `Executable.run`."""
        if len(received) != self._n_received:
            raise TypeError("a graph that begins with rows of another needs these")
        with at_work(self._number):
            embeddings = [_with_given(table.rows(step.tokens), step) for table in self._tables]
            return self._run(step, [*embeddings, *received])

    def _run(self, step: Step, first_rows: Sequence[npt.NDArray[np.float32]]) -> npt.NDArray[np.float32]:
        n_rows: dict[Rows, int] = {"tokens": len(step.tokens), "outputs": len(step.outputs)}
        shape, tiles = attention.cut(step.sequences, int(step.positions.max()) + 1, self._group, self._query_warps)
        plan = self._plan(n_rows, shape)
        rows, columns = n_rows[self._result.rows], self._result.n_columns
        self._inputs.send(step, tiles, first_rows, self._stream)
        self._start(plan)
        result = self._room(4 * rows * columns).view(np.float32).reshape(rows, columns)
        if rows:
            device.copy_to_host(result, plan.result, self._stream)
        self._stream.synchronize()
        return result

    def _start(self, plan: _Plan) -> None:
        """A plan's first run launches kernel by kernel: shapes that never come again need no graph."""
        plan.n_runs += 1
        if plan.n_runs == 1 or not plan.capturable:
            device.run(plan.actions, self._stream)
            return
        if plan.graph is None:
            plan.graph = device.captured(plan.actions, self._stream)
        plan.graph.launch(self._stream)

    def _room(self, n_bytes: int) -> npt.NDArray[np.uint8]:
        if n_bytes > self._host_result.size:
            self._host_result = device.pinned(n_bytes)
        return self._host_result[:n_bytes]

    def _constant(self, array: npt.NDArray[Any]) -> int:
        """The address of a copy on the device, which lives as long as this."""
        key = id(array)
        if key not in self._kept:
            self._kept[key] = array, device.upload(array)
        return int(self._kept[key][1].data.ptr)

    def _plan(self, n_rows: dict[Rows, int], shape: AttentionShape) -> _Plan:
        key = n_rows["tokens"], n_rows["outputs"], shape
        if key not in self._plans or self._plans[key].arena != self._arena.address:
            self._plans[key] = self._compile(n_rows, shape)
            if len(self._plans) > _MAX_PLANS:
                self._plans.popitem(last=False)
        self._plans.move_to_end(key)
        return self._plans[key]

    def _compile(self, n_rows: dict[Rows, int], shape: AttentionShape) -> _Plan:
        lowering = Lowering(self._cache, self._inputs, self._exchange, self._constant, n_rows, shape)
        result = lowering.lower(self._nodes)
        offsets, n_bytes = lay_out(lowering.operations, result)
        what = f"what {n_rows['tokens']} tokens come to in between; a smaller -ub or -ngl needs less"
        with room_for(what, self._number):
            self._arena.grow(n_bytes)
        base = self._arena.address
        at = addresses(offsets, base)
        actions = [each.build(at) for each in lowering.operations]
        capturable = bool(actions) and all(each.capturable for each in lowering.operations)
        return _Plan(actions, at(result), base, capturable)


def _with_given(rows: npt.NDArray[np.float32], step: Step) -> npt.NDArray[np.float32]:
    """The embeddings of a step, with the rows that are given in their places."""
    if step.given is not None and step.given_rows is not None:
        is_given = step.given_rows >= 0
        rows[is_given] = step.given[step.given_rows[is_given]]
    return rows


def _group(graph: Graph, cache: CUDACache) -> int:
    """Queries of a token that share keys and values."""
    heads = {node.n_heads for node in graph.nodes if isinstance(node, Attention)} or {cache.shape.n_kv_heads}
    if len(heads) > 1:
        raise TypeError(f"a CUDA plan needs the same number of heads in all layers, found {sorted(heads)}")
    return heads.pop() // cache.shape.n_kv_heads


def query_warps(shape: CacheShape) -> int:
    """Warps with queries of their own in a block of attention; UsageError if there is no memory for one."""
    kinds = CACHE_FORMATS[shape.key_format], CACHE_FORMATS[shape.value_format]
    limit = device.shared_limit()
    n_warps = attention.most_query_warps(kinds, (shape.key_size, shape.value_size), limit)
    if not n_warps:
        raise UsageError(
            f"heads of {shape.key_size} and {shape.value_size} numbers in {shape.key_format} and {shape.value_format}"
            f" need more than the {limit} bytes of shared memory of this GPU; use caches in f16 (-ctk, -ctv), or -ngl 0"
        )
    return n_warps
