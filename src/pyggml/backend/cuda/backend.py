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
from pyggml.backend.cuda.inputs import StepInputs, n_sections, with_given
from pyggml.backend.cuda.lowering import Lowering
from pyggml.backend.cuda.memory import Arena, addresses, lay_out
from pyggml.backend.cuda.padding import padded, padded_size, repeat_last, tile_sequences
from pyggml.backend.cuda.tower import look
from pyggml.backend.cuda.weights import CUDAWeight, HostTable, host_table, new_lanes, place_matrix, place_vector
from pyggml.backend.graph import Attention, Embed, Graph, Receive, Rows
from pyggml.backend.observation import Observe
from pyggml.backend.protocol import Cache, CacheShape, Largest, PictureStep, Step, TowerHeads
from pyggml.errors import UsageError
from pyggml_cuda import attention, device, largest
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
            kind = RankingCUDAExecutable if graph.result.n_columns <= largest.MAX_COLUMNS else CUDAExecutable
            return kind(graph, cache, self._n_batch, self._n_sequences, self._number, self._arena)

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
    largest: int
    """The address of the largest results, if they are wanted; else 0"""
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
        self._received = [node.output.rows for node in first if isinstance(node, Receive)]
        self._n_batch = n_batch
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
        self._plans: OrderedDict[tuple[int, int, AttentionShape, int], _Plan] = OrderedDict()

    def run(self, step: Step, *received: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """See `Executable.run`."""
        with at_work(self._number):
            plan = self._begin(step, received)
            result = self._host_rows(len(step.outputs if self._result.rows == "outputs" else step.tokens))
            self._finish(result, plan.result)
        return result

    def _begin(self, step: Step, received: Sequence[npt.NDArray[np.float32]], n_largest: int = 0) -> _Plan:
        """Send a step, filled up, and start its plan, which ranks so many of the results."""
        if len(received) != len(self._received):
            raise TypeError("a graph that begins with rows of another needs these")
        whole = padded(step, self._n_batch)
        n_rows: dict[Rows, int] = {"tokens": len(whole.tokens), "outputs": len(whole.outputs)}
        sequences, n_positions = tile_sequences(step, whole), int(step.positions.max()) + 1
        shape, tiles = attention.cut(sequences, n_positions, self._group, self._query_warps)
        plan = self._plan(n_rows, shape, n_largest)
        given = [repeat_last(rows, n_rows[kind]) for rows, kind in zip(received, self._received, strict=True)]
        embeddings = [with_given(table.rows(whole.tokens), whole) for table in self._tables]
        self._inputs.send(whole, tiles, [*embeddings, *given], self._stream)
        self._start(plan)
        return plan

    def _finish(self, target: npt.NDArray[Any], source: int) -> None:
        """Wait for the stream, and for the copy of something that there is on the device then."""
        if target.size:
            device.copy_to_host(target, source, self._stream)
        self._stream.synchronize()

    def _host_rows(self, n: int) -> npt.NDArray[np.float32]:
        """Pinned room for so many rows of the result; only ever grows."""
        n_bytes = 4 * n * self._result.n_columns
        if n_bytes > self._host_result.size:
            self._host_result = device.pinned(n_bytes)
        return self._host_result[:n_bytes].view(np.float32).reshape(n, self._result.n_columns)

    def _start(self, plan: _Plan) -> None:
        """A plan's first run launches kernel by kernel: shapes that never come again need no graph."""
        plan.n_runs += 1
        if plan.n_runs == 1 or not plan.capturable:
            device.run(plan.actions, self._stream)
            return
        if plan.graph is None:
            plan.graph = device.captured(plan.actions, self._stream)
        plan.graph.launch(self._stream)

    def _constant(self, array: npt.NDArray[Any]) -> int:
        """The address of a copy on the device, which lives as long as this."""
        key = id(array)
        if key not in self._kept:
            self._kept[key] = array, device.upload(array)
        return int(self._kept[key][1].data.ptr)

    def _plan(self, n_rows: dict[Rows, int], shape: AttentionShape, n_largest: int) -> _Plan:
        key = n_rows["tokens"], n_rows["outputs"], shape, n_largest
        if key not in self._plans or self._plans[key].arena != self._arena.address:
            self._plans[key] = self._compile(n_rows, shape, n_largest)
            if len(self._plans) > _MAX_PLANS:
                self._plans.popitem(last=False)
        self._plans.move_to_end(key)
        return self._plans[key]

    def _compile(self, n_rows: dict[Rows, int], shape: AttentionShape, n_largest: int) -> _Plan:
        lowering = Lowering(self._cache, self._inputs, self._exchange, self._constant, n_rows, shape)
        result = lowering.lower(self._nodes)
        ranked = lowering.rank(result, self._result, n_largest) if n_largest and result.n_bytes else None
        offsets, n_bytes = lay_out(lowering.operations, result)
        what = f"what {n_rows['tokens']} tokens come to in between; a smaller -ub or -ngl needs less"
        with room_for(what, self._number):
            self._arena.grow(n_bytes)
        base = self._arena.address
        at = addresses(offsets, base)
        actions = [each.build(at) for each in lowering.operations]
        capturable = bool(actions) and all(each.capturable for each in lowering.operations)
        return _Plan(actions, at(result), at(ranked) if ranked else 0, base, capturable)


class RankingCUDAExecutable(CUDAExecutable):
    """One whose rows are short enough to be ranked on the device."""

    def __init__(
        self, graph: Graph, cache: CUDACache, n_batch: int, n_sequences: int, number: int, arena: Arena
    ) -> None:
        super().__init__(graph, cache, n_batch, n_sequences, number, arena)
        self._n_largest = min(largest.MAX_KEPT, self._result.n_columns)
        self._host_largest = np.zeros(0, np.int32)
        self._n_ranked = self._ranked_address = 0

    def rank(self, step: Step, *received: npt.NDArray[np.float32]) -> Largest:
        """See `RankingExecutable.rank`."""
        n = padded_size(len(step.outputs), self._n_batch)
        n_numbers = 2 * n * self._n_largest
        if n_numbers > self._host_largest.size:
            self._host_largest = device.pinned(4 * n_numbers).view(np.int32)
        found = self._host_largest[:n_numbers]
        with at_work(self._number):
            plan = self._begin(step, received, self._n_largest)
            self._finish(found, plan.largest)
        self._n_ranked, self._ranked_address = len(step.outputs), plan.result
        values, places = found.reshape(2, n, self._n_largest)[:, : len(step.outputs)]
        return Largest(values.view(np.float32), places)

    def row(self, output: int) -> npt.NDArray[np.float32]:
        """See `RankingExecutable.row`."""
        row: npt.NDArray[np.float32] = self._host_rows(self._n_ranked)[output]
        with at_work(self._number):
            self._finish(row, self._ranked_address + row.nbytes * output)
        return row


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
