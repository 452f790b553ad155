"""From operations of a graph to calls of kernels: addresses, chunks, scratch."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from pyggml.backend import graph as g
from pyggml.backend.cpu.arguments import angle_arguments, arguments, rotate_arguments
from pyggml.backend.cpu.cache import CPUCache, RowStore
from pyggml.backend.cpu.inputs import StepInputs
from pyggml.backend.cpu.linear import linear_scratch_bytes, lower_linear
from pyggml.backend.cpu.memory import Memory
from pyggml.backend.cpu.observation import lower_observation
from pyggml.backend.cpu.pictures import lower_given, lower_section_angles, section_table
from pyggml.backend.cpu.quantization import Convert, QuantizedForm
from pyggml.backend.cpu.weights import CPUWeight
from pyggml.backend.observation import Observe
from pyggml.backend.protocol import Weight
from pyggml_kernels import activations, attention, elementwise, embedding, hadamard, norm, rope
from pyggml_kernels.formats import FloatFormat, LevelFormat
from pyggml_kernels.plan import Operation

#: Chunks that an operation is cut into for each worker: enough that one worker's delay is shared by all.
_CHUNKS_PER_WORKER = 8
#: Tokens whose queries share one conversion of a page of keys and values.
_TOKENS_PER_ATTENTION_CHUNK = 16
#: Pages of a context that are a part of it, with a softmax of its own. Results depend on it in their last bits.
_PAGES_PER_PART = 8
#: Floats of an elementwise operation in a chunk.
_ELEMENTS_PER_CHUNK = 8192


def _chunks(n: int, per_chunk: int) -> int:
    return -(-n // per_chunk)


def scratch_bytes(node: g.Node, cache: CPUCache) -> int:
    """Bytes of scratch that one worker needs for an operation."""
    if isinstance(node, g.Linear):
        return linear_scratch_bytes(cpu_weight(node.weight))
    if isinstance(node, g.Embed):
        form = cpu_weight(node.table).format
        return embedding.scratch_bytes(node.table.n_columns, form.group_size) if isinstance(form, LevelFormat) else 0
    if isinstance(node, g.Attention):
        shape = cache.shape
        group = node.n_heads // shape.n_kv_heads
        return attention.scratch_bytes(
            shape.key_size, shape.value_size, shape.page_size, group, _TOKENS_PER_ATTENTION_CHUNK
        )
    return 0


def cpu_weight(weight: Weight) -> CPUWeight:
    """The weight as this backend placed it."""
    if not isinstance(weight, CPUWeight):
        raise TypeError("a CPU plan needs weights placed on the CPU")
    return weight


class Lowering:
    """Turns the operations of one graph into kernel calls, for one batch shape."""

    def __init__(
        self, memory: Memory, cache: CPUCache, inputs: StepInputs, n_rows: Mapping[g.Rows, int], n_workers: int
    ) -> None:
        self._memory = memory
        self._cache = cache
        self._inputs = inputs
        self._n_rows = n_rows
        self._n_workers = n_workers
        # What kernels read and write besides the arena: kept alive with the plan.
        self.constants: list[npt.NDArray[Any]] = []
        self._partial_results = np.empty(0, np.uint8)
        self._lower: dict[type[g.Node], Callable[[Any], list[Operation]]] = {
            g.Embed: self._embed,
            g.Receive: lambda node: [],
            g.Elsewhere: lambda node: [],
            g.PlaceGiven: lambda node: lower_given(node, memory, inputs, n_rows["tokens"]),
            g.RopeAngles: self._rope_angles,
            g.SectionAngles: self._section_angles,
            g.RMSNorm: self._rms_norm,
            Convert: self._convert,
            g.Linear: self._linear,
            g.Rotate: self._rotate,
            g.Attention: self._attention,
            g.SwiGLU: self._swiglu,
            g.Add: self._add,
            g.SelectOutputs: self._select_outputs,
            Observe: lambda node: lower_observation(node, memory.address(node.x), n_rows[node.x.rows]),
        }

    def lower(self, nodes: Sequence[g.Node]) -> list[Operation]:
        """The kernel calls, in order."""
        return [operation for node in nodes for operation in self._lower[type(node)](node)]

    def _rows_per_chunk(self, n: int) -> int:
        return max(1, n // (self._n_workers * _CHUNKS_PER_WORKER))

    def _embed(self, node: g.Embed) -> list[Operation]:
        table, m = cpu_weight(node.table), self._memory
        if table.tile_bytes:
            raise TypeError("rows are looked up in a table, and this weight was placed as a matrix")
        form = table.format
        common = {
            0: table.address,
            1: table.stride,
            2: self._inputs.tokens.ctypes.data,
            3: table.n_columns,
            4: m.address(node.output),
        }
        n = self._n_rows["tokens"]
        if isinstance(form, LevelFormat):
            own = {5: form.decode.address, 6: form.block_size, 7: form.group_size, 8: m.scratch, 9: m.scratch_bytes}
            return [Operation(embedding.embed_levels, arguments(embedding.N_ARGUMENTS, common | own), n)]
        load = {5: _load_address(table)}
        return [Operation(embedding.embed_floats, arguments(embedding.N_ARGUMENTS, common | load), n)]

    def _rope_angles(self, node: g.RopeAngles) -> list[Operation]:
        self.constants.append(node.rope.factors)
        words = angle_arguments(self._inputs.positions, node.rope, self._memory.address(node.output))
        return [Operation(rope.rope_angles, words, self._n_rows["tokens"])]

    def _section_angles(self, node: g.SectionAngles) -> list[Operation]:
        sections = section_table(node.rope)
        self.constants.append(sections)
        return lower_section_angles(node, sections, self._memory, self._inputs, self._n_rows["tokens"])

    def _rms_norm(self, node: g.RMSNorm) -> list[Operation]:
        n, per_chunk = self._n_rows[node.x.rows], self._rows_per_chunk(self._n_rows[node.x.rows])
        integers = {
            0: self._memory.address(node.x),
            1: n,
            2: node.x.n_columns,
            3: cpu_weight(node.weight).address,
            5: self._memory.address(node.output),
            6: per_chunk,
        }
        return [
            Operation(norm.rms_norm, arguments(norm.N_ARGUMENTS, integers, {4: node.epsilon}), _chunks(n, per_chunk))
        ]

    def _convert(self, node: Convert) -> list[Operation]:
        n, n_columns = self._n_rows[node.x.rows], node.x.n_columns
        per_chunk = self._rows_per_chunk(n)
        out = self._memory.address(node.output)
        integers = {0: self._memory.address(node.x), 1: n, 2: n_columns, 3: out, 8: per_chunk}
        if isinstance(node.form, QuantizedForm):
            _, scales, shifts, sums = node.form.arrays(out, n, n_columns)
            integers |= {4: scales, 5: shifts, 6: sums, 7: node.form.group_size}
        return [Operation(node.form.kernel, arguments(activations.N_ARGUMENTS, integers), _chunks(n, per_chunk))]

    def _linear(self, node: g.Linear) -> list[Operation]:
        bias = cpu_weight(node.bias).address if node.bias is not None else 0
        weight, n = cpu_weight(node.weight), self._n_rows[node.x.rows]
        return [lower_linear(weight, bias, self._memory, node.x, node.output, n, self._n_workers)]

    def _rotate(self, node: g.Rotate) -> list[Operation]:
        x, angles = self._memory.address(node.output), self._memory.address(node.angles)
        words = rotate_arguments(x, node.n_heads, node.x.n_columns // node.n_heads, angles, node.rope)
        return [Operation(rope.rope_rotate, words, self._n_rows[node.x.rows])]

    def _attention(self, node: g.Attention) -> list[Operation]:
        keys, values, n_kv_heads = self._cache.keys, self._cache.values, self._cache.shape.n_kv_heads
        return [
            *self._hadamard(node.queries, node.n_heads, keys),
            *self._hadamard(node.keys, n_kv_heads, keys),
            *self._hadamard(node.values, n_kv_heads, values),
            self._store(node.keys, node.layer, keys),
            self._store(node.values, node.layer, values),
            *self._attend(node),
            *self._hadamard(node.output, node.n_heads, values),
        ]

    def _hadamard(self, x: g.Value, n_heads: int, store: RowStore) -> list[Operation]:
        """The rotation that spreads outliers before a cache format rounds them; its own inverse."""
        if not store.rotation:
            return []
        integers = {0: self._memory.address(x), 1: n_heads * store.size // store.rotation, 2: store.rotation}
        words = arguments(hadamard.N_ARGUMENTS, integers)
        return [Operation(hadamard.hadamard, words, self._n_rows["tokens"])]

    def _store(self, x: g.Value, layer: int, store: RowStore) -> Operation:
        i, shape = self._inputs, self._cache.shape
        integers = {
            0: self._memory.address(x),
            1: x.n_columns,
            2: shape.n_kv_heads,
            3: store.size,
            4: store.address(layer),
            5: store.row_bytes,
            6: shape.page_size,
            7: i.positions.ctypes.data,
            8: i.sequences.ctypes.data,
            9: i.page_table.ctypes.data,
            10: i.page_table.shape[1],
            11: store.format.store.address,
            12: store.page_bytes,
        }
        return Operation(attention.store_rows, arguments(attention.N_ARGUMENTS, integers), self._n_rows["tokens"])

    def _attend(self, node: g.Attention) -> list[Operation]:
        """Few tokens share their contexts among chunks, part by part; many are chunks enough by themselves."""
        n, n_kv_heads = self._n_rows["tokens"], self._cache.shape.n_kv_heads
        if n > _TOKENS_PER_ATTENTION_CHUNK:
            n_chunks = _chunks(n, _TOKENS_PER_ATTENTION_CHUNK) * n_kv_heads
            return [Operation(attention.attend, self._attend_arguments(node, 1, 0), n_chunks)]
        n_parts = _chunks(self._inputs.page_table.shape[1], _PAGES_PER_PART)
        n_sharing = min(n_parts, _chunks(self._n_workers * _CHUNKS_PER_WORKER, n_kv_heads))
        partials = self._partials(n_parts * n * node.n_heads)
        words = self._attend_arguments(node, n_sharing, partials)
        return [
            Operation(attention.attend, words, n_sharing * n_kv_heads),
            Operation(attention.merge_parts, words, n_kv_heads),
        ]

    def _partials(self, n: int) -> int:
        """Where `n` partial results of attention are kept, for one layer after the other."""
        n_bytes = n * attention.partial_bytes(self._cache.values.size)
        if self._partial_results.nbytes < n_bytes:
            self._partial_results = np.empty(n_bytes, np.uint8)
            self.constants.append(self._partial_results)
        return int(self._partial_results.ctypes.data)

    def _attend_arguments(self, node: g.Attention, n_sharing: int, partials: int) -> npt.NDArray[np.int64]:
        keys, values, shape = self._cache.keys, self._cache.values, self._cache.shape
        i, n = self._inputs, self._n_rows["tokens"]
        integers = {
            0: self._memory.address(node.queries),
            1: node.queries.n_columns,
            2: n,
            3: node.n_heads // shape.n_kv_heads,
            4: shape.n_kv_heads,
            5: keys.size,
            6: keys.address(node.layer),
            7: keys.row_bytes,
            8: keys.format.load.address,
            9: keys.format.store.address if keys.format.rounds_queries else 0,
            10: values.address(node.layer),
            11: values.row_bytes,
            12: values.format.load.address,
            13: shape.page_size,
            14: i.positions.ctypes.data,
            15: i.sequences.ctypes.data,
            16: i.page_table.ctypes.data,
            17: i.page_table.shape[1],
            18: self._memory.address(node.output),
            19: _TOKENS_PER_ATTENTION_CHUNK,
            20: self._memory.scratch,
            21: self._memory.scratch_bytes,
            23: values.size,
            24: keys.page_bytes,
            25: values.page_bytes,
            26: _PAGES_PER_PART,
            27: n_sharing,
            28: partials,
        }
        return arguments(attention.N_ARGUMENTS, integers, {22: node.scale})

    def _elementwise(self, kernel: Any, left: g.Value, right: g.Value, output: g.Value) -> list[Operation]:
        n = self._n_rows[output.rows] * output.n_columns
        integers = dict(enumerate([*map(self._memory.address, (left, right, output)), n, _ELEMENTS_PER_CHUNK]))
        return [Operation(kernel, arguments(elementwise.N_ARGUMENTS, integers), _chunks(n, _ELEMENTS_PER_CHUNK))]

    def _swiglu(self, node: g.SwiGLU) -> list[Operation]:
        return self._elementwise(elementwise.swiglu, node.gate, node.up, node.output)

    def _add(self, node: g.Add) -> list[Operation]:
        return self._elementwise(elementwise.add, node.left, node.right, node.output)

    def _select_outputs(self, node: g.SelectOutputs) -> list[Operation]:
        n = self._n_rows["outputs"]
        integers = {
            0: self._memory.address(node.x),
            1: self._inputs.outputs.ctypes.data,
            2: n,
            3: node.x.n_columns,
            4: self._memory.address(node.output),
        }
        return [Operation(elementwise.copy_rows, arguments(elementwise.N_ARGUMENTS, integers), n)]


def _load_address(weight: CPUWeight) -> int:
    if not isinstance(weight.format, FloatFormat):
        raise TypeError(f"{weight.format.name} is no float format")
    return weight.format.load.address
