"""Layers whose weights are in main memory, computed on the GPU: each is fetched while others are computed."""

from collections import OrderedDict, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from pyggml.backend.cpu.cache import CPUCache
from pyggml.backend.cuda.backend import query_warps
from pyggml.backend.cuda.batch_pages import BatchPages, LayerPages
from pyggml.backend.cuda.exchange import Exchange
from pyggml.backend.cuda.failures import at_work, room_for
from pyggml.backend.cuda.inputs import StepInputs, n_sections, with_given
from pyggml.backend.cuda.lowering import Lowering
from pyggml.backend.cuda.memory import Arena, Buffer, lay_out
from pyggml.backend.cuda.weights import CUDAWeight, HostTable, host_table, new_lanes, place_vector
from pyggml.backend.gpu_limits import N_SLOTS, is_streamed, matrix_bytes, streamed_pages
from pyggml.backend.graph import Attention, Embed, Graph, Node, Receive, Rows
from pyggml.backend.protocol import Cache, Step
from pyggml.backend.segments import cut
from pyggml_cuda import attention, device, pieces
from pyggml_cuda.attention import AttentionShape
from pyggml_cuda.formats import device_format
from pyggml_cuda.lanes import Delivery, Lanes, prepare
from pyggml_kernels.formats import FORMATS, Format

#: Batch shapes whose plans are kept: a full batch, and remainders.
_MAX_PLANS = 8
_ALIGNMENT = 256


@dataclass(frozen=True, eq=False)
class StreamedMatrix:
    """A matrix as the file has it, in main memory."""

    form: Format
    data: npt.NDArray[np.uint8]
    n_rows: int
    n_columns: int

    @property
    def n_bytes(self) -> int:
        """The bytes that it takes on the GPU."""
        return -(-matrix_bytes(self.form, self.n_rows, self.n_columns) // _ALIGNMENT) * _ALIGNMENT


class StreamingGPU:
    """The GPU of this number, for batches of up to `n_batch` tokens of `n_sequences` sequences; holds vectors, no
    matrices."""

    def __init__(self, n_batch: int, n_sequences: int, number: int = 0) -> None:
        self._number = number
        self._n_batch = n_batch
        self._n_sequences = n_sequences
        self._lanes: Lanes | None = None

    def matrix(self, data: npt.NDArray[np.uint8], type_id: int, n_rows: int, n_columns: int) -> StreamedMatrix:
        """See `StreamingDevice`."""
        return StreamedMatrix(FORMATS[type_id], data, n_rows, n_columns)

    def table(self, data: npt.NDArray[np.uint8], type_id: int, n_rows: int, n_columns: int) -> HostTable:
        """See `Backend.table`."""
        return HostTable(FORMATS[type_id], data, n_rows, n_columns)

    def vector(self, data: npt.NDArray[np.uint8], type_id: int, n_columns: int) -> CUDAWeight:
        """See `Backend.vector`."""
        return place_vector(data, FORMATS[type_id], n_columns, self._number)

    def streams(self, graph: Graph) -> bool:
        """See `StreamingDevice.streams`: what the host has to decode is not."""
        return all(is_streamed(matrix.form) for matrix in _matrices(graph))

    def compile(self, graph: Graph, cache: Cache) -> "LayerStream":
        """See `StreamingDevice.compile`."""
        if not isinstance(cache, CPUCache):
            raise TypeError("what is streamed needs a cache on the CPU")
        if self._lanes is None:
            self._lanes = new_lanes(self._number)
        with room_for("layers of the CPU that it computes", self._number):
            return LayerStream(graph, cache, self._lanes, self._n_batch, self._n_sequences, self._number)


class _Slot:
    """Room for a layer's weights, and for its keys and values; an event: the layer has been computed."""

    def __init__(self, cache: CPUCache, n_bytes: int, n_pages: int) -> None:
        self.weights = device.empty(n_bytes)
        self.pages = LayerPages(cache, n_pages)
        self.free = device.new_event()


@dataclass(frozen=True)
class _Layer:
    """Operations on weights in a slot, and how these get there."""

    nodes: list[Node]
    pieces: list[pieces.Piece]
    slot: _Slot


#: Each layer's launches.
_Plans = list[list[device.Action]]


class LayerStream:
    """A graph's layers, one after the other in two slots; the cache is the CPU's."""

    def __init__(
        self, graph: Graph, cache: CPUCache, lanes: Lanes, n_batch: int, n_sequences: int, number: int
    ) -> None:
        self._number = number
        parts = cut(graph, range(len(graph.layer_starts)))
        n_bytes = max(sum(each.n_bytes for each in _matrices(part)) for part in parts)
        self._n_pages = streamed_pages(cache.shape, n_bytes)
        self._cache = cache
        self._lanes = lanes
        slots = [_Slot(cache, n_bytes, self._n_pages) for _ in range(N_SLOTS)]
        self._layers = [_in_slot(part, slots[number % N_SLOTS]) for number, part in enumerate(parts)]
        self._result = parts[-1].result
        first = next(node for node in graph.nodes if isinstance(node, Embed | Receive))
        self._table = host_table(first.table) if isinstance(first, Embed) else None
        n_heads = next(node.n_heads for node in graph.nodes if isinstance(node, Attention))
        self._group = n_heads // cache.shape.n_kv_heads
        self._query_warps = query_warps(cache.shape)
        n_tiles = n_batch * (self._group + 1)
        sizes = n_batch, n_sequences, cache.shape.n_pages, n_tiles
        self._inputs = StepInputs(*sizes, [first.output], n_sections(graph.nodes))
        self._exchange = Exchange()
        self._stream = device.new_stream()
        self._arena = Arena()
        self._host_result = np.zeros(0, np.uint8)
        self._kept: dict[int, Any] = {}
        self._plans: OrderedDict[tuple[int, int, AttentionShape], tuple[_Plans, int]] = OrderedDict()

    def takes(self, step: Step) -> bool:
        """See `StreamedExecutable.takes`."""
        return len(BatchPages.of(step, self._cache.shape.page_size).pages) <= self._n_pages

    def run(self, step: Step, *received: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """See `Executable.run`."""
        first_rows = received if self._table is None else (with_given(self._table.rows(step.tokens), step),)
        with at_work(self._number):
            return self._run(step, first_rows)

    def _run(self, step: Step, first_rows: Sequence[npt.NDArray[np.float32]]) -> npt.NDArray[np.float32]:
        pages = BatchPages.of(step, self._cache.shape.page_size)
        n_rows: dict[Rows, int] = {"tokens": len(step.tokens), "outputs": len(step.outputs)}
        shape, tiles = attention.cut(step.sequences, int(step.positions.max()) + 1, self._group, self._query_warps)
        plans, result = self._plan(n_rows, shape)
        n, columns = n_rows[self._result.rows], self._result.n_columns
        rows = self._room(4 * n * columns).view(np.float32).reshape(n, columns)
        inputs = replace(step, page_table=pages.table)
        self._inputs.send(inputs, tiles, first_rows, self._stream)
        self._run_layers(plans, pages)
        if n:
            device.copy_to_host(rows, result, self._stream)
        self._stream.synchronize()
        for layer in range(max(0, len(plans) - N_SLOTS), len(plans)):
            self._end_return(layer, pages)
        return rows

    def _run_layers(self, plans: _Plans, pages: BatchPages) -> None:
        """Have the layers computed; what the last ones add to the cache is still on its way afterwards."""
        sent = deque(self._send(number, pages) for number in range(min(N_SLOTS, len(plans))))
        for number, actions in enumerate(plans):
            slot = self._layers[number].slot
            sent.popleft().precede(self._stream)
            device.run(actions, self._stream)
            if number >= N_SLOTS:
                slot.free.synchronize()
                self._end_return(number - N_SLOTS, pages)
            slot.pages.begin_return(pages, self._stream)
            slot.free.record(self._stream)
            if number + N_SLOTS < len(plans):
                sent.append(self._send(number + N_SLOTS, pages))

    def _send(self, number: int, pages: BatchPages) -> Delivery:
        """Begin to send a layer to its slot, once the layer that is there has been computed."""
        layer = self._layers[number]
        earlier = layer.slot.pages.pieces(self._cache, number, pages)
        return self._lanes.send([*layer.pieces, *earlier], layer.slot.free)

    def _end_return(self, number: int, pages: BatchPages) -> None:
        self._layers[number].slot.pages.end_return(self._cache, number, pages)

    def _room(self, n_bytes: int) -> npt.NDArray[np.uint8]:
        if n_bytes > self._host_result.size:
            self._host_result = device.pinned(n_bytes)
        return self._host_result[:n_bytes]

    def _constant(self, array: npt.NDArray[Any]) -> int:
        """The address of a copy on the device, which lives as long as this."""
        if id(array) not in self._kept:
            self._kept[id(array)] = array, device.upload(array)
        return int(self._kept[id(array)][1].data.ptr)

    def _plan(self, n_rows: dict[Rows, int], shape: AttentionShape) -> tuple[_Plans, int]:
        """The layers' launches, and where the last one's result lies."""
        key = n_rows["tokens"], n_rows["outputs"], shape
        if key not in self._plans:
            self._plans[key] = self._compile(n_rows, shape)
            if len(self._plans) > _MAX_PLANS:
                self._plans.popitem(last=False)
        self._plans.move_to_end(key)
        return self._plans[key]

    def _compile(self, n_rows: dict[Rows, int], shape: AttentionShape) -> tuple[_Plans, int]:
        lowered = []
        for layer in self._layers:
            lowering = Lowering(layer.slot.pages, self._inputs, self._exchange, self._constant, n_rows, shape)
            result = lowering.lower(layer.nodes)
            lowered.append((lowering.operations, result, *lay_out(lowering.operations, result)))
        before = self._arena.address
        with room_for(f"what {n_rows['tokens']} tokens come to in between", self._number):
            self._arena.grow(max(n for *_, n in lowered))
        if self._arena.address != before:
            # Plans hold addresses in the arena.
            self._plans.clear()
        base, plans, last = self._arena.address, [], 0
        for operations, result, offsets, _ in lowered:

            def address(buffer: Buffer, offsets: Any = offsets) -> int:
                return base + int(offsets[buffer]) if buffer.address is None else buffer.address

            plans.append([each.build(address) for each in operations])
            last = address(result)
            if len(plans) < len(lowered):
                plans[-1].append(self._passing_on(last, result.n_bytes))
        return plans, last

    def _passing_on(self, result: int, n_bytes: int) -> device.Action:
        """The next layer begins with a result."""
        rows = self._inputs.rows(self._layers[0].nodes[0].output)
        return lambda stream: device.copy_on_device(rows, result, n_bytes, stream)


def _matrices(graph: Graph) -> Iterator[StreamedMatrix]:
    for node in graph.nodes:
        yield from (each for each in vars(node).values() if isinstance(each, StreamedMatrix))


def _in_slot(graph: Graph, slot: _Slot) -> _Layer:
    weights, sent, start = {}, [], 0
    for matrix in _matrices(graph):
        memory = slot.weights[start : start + matrix.n_bytes]
        weight = CUDAWeight(device_format(matrix.form), memory, matrix.n_rows, matrix.n_columns)
        cut_up = list(pieces.cut(matrix.form, matrix.data, matrix.n_rows, matrix.n_columns, weight.address))
        prepare(matrix.form, cut_up)
        sent += cut_up
        weights[matrix] = weight
        start += matrix.n_bytes
    return _Layer([_with(node, weights) for node in graph.nodes], sent, slot)


def _with(node: Node, weights: dict[StreamedMatrix, CUDAWeight]) -> Node:
    operands = ((each.name, getattr(node, each.name)) for each in fields(node))
    changes: dict[str, Any] = {name: weights[value] for name, value in operands if isinstance(value, StreamedMatrix)}
    return replace(node, **changes)
