"""A vision tower on the CPU: one plan for one picture, whose memory is given back when it is done."""

import numpy as np
import numpy.typing as npt

from pyggml.backend.arena import ALIGNMENT, lay_out
from pyggml.backend.cpu.arguments import arguments
from pyggml.backend.cpu.cache import CPUCache, RowStore
from pyggml.backend.cpu.inputs import StepInputs
from pyggml.backend.cpu.large_pages import large_zeros
from pyggml.backend.cpu.lowering import Lowering, cpu_weight, scratch_bytes
from pyggml.backend.cpu.memory import Memory
from pyggml.backend.cpu.quantization import insert_conversions
from pyggml.backend.cpu.sight import PAGE_SIZE, Sight
from pyggml.backend.graph import Graph, Rows, Value
from pyggml.backend.protocol import CacheShape, PictureStep, TowerHeads
from pyggml.backend.tower_graph import GELU, LayerNorm, Merge, PatchAttention, Patches
from pyggml_kernels import attention, gelu, layer_norm
from pyggml_kernels.plan import Operation, Plan
from pyggml_kernels.threads import WorkerPool

#: Patches whose queries share one conversion of a page of keys and values.
_PATCHES_PER_CHUNK = 64
_ELEMENTS_PER_CHUNK = 8192
_GELU = {"tanh": gelu.gelu, "quick": gelu.gelu_quick}


class _Tower(Lowering):
    """Turns the operations of a tower into kernel calls, for one picture."""

    def __init__(
        self,
        memory: Memory,
        cache: CPUCache,
        inputs: StepInputs,
        n_rows: dict[Rows, int],
        n_workers: int,
        sights: tuple[Sight, Sight],
    ) -> None:
        """`sights` are that of the whole picture and that in windows."""
        super().__init__(memory, cache, inputs, n_rows, n_workers)
        self._sights = sights
        self._lower |= {
            Patches: lambda node: [],
            Merge: lambda node: [],
            LayerNorm: self._layer_norm,
            GELU: self._gelu,
            PatchAttention: self._patch_attention,
        }

    def _layer_norm(self, node: LayerNorm) -> list[Operation]:
        n, per_chunk = self._n_rows[node.x.rows], self._rows_per_chunk(self._n_rows[node.x.rows])
        integers = {
            0: self._memory.address(node.x),
            1: n,
            2: node.x.n_columns,
            3: cpu_weight(node.weight).address,
            5: self._memory.address(node.output),
            6: per_chunk,
            7: cpu_weight(node.bias).address,
        }
        words = arguments(layer_norm.N_ARGUMENTS, integers, {4: node.epsilon})
        return [Operation(layer_norm.layer_norm, words, -(-n // per_chunk))]

    def _gelu(self, node: GELU) -> list[Operation]:
        n, x = self._n_rows[node.x.rows] * node.x.n_columns, self._memory.address(node.output)
        words = arguments(gelu.N_ARGUMENTS, {0: x, 1: x, 2: n, 3: _ELEMENTS_PER_CHUNK})
        return [Operation(_GELU[node.kind], words, -(-n // _ELEMENTS_PER_CHUNK))]

    def _patch_attention(self, node: PatchAttention) -> list[Operation]:
        sight = self._sights[node.in_windows]
        return [
            self._keep(node.keys, self._cache.keys, sight),
            self._keep(node.values, self._cache.values, sight),
            self._attend_to(node, sight),
        ]

    def _keep(self, x: Value, store: RowStore, sight: Sight) -> Operation:
        integers = {
            0: self._memory.address(x),
            1: x.n_columns,
            2: self._cache.shape.n_kv_heads,
            3: store.size,
            4: store.address(0),
            5: store.row_bytes,
            6: PAGE_SIZE,
            7: sight.positions.ctypes.data,
            8: sight.groups.ctypes.data,
            9: sight.page_table.ctypes.data,
            10: sight.page_table.shape[1],
            11: store.format.store.address,
            12: store.page_bytes,
        }
        words = arguments(attention.N_ARGUMENTS, integers)
        return Operation(attention.store_rows, words, self._n_rows["tokens"])

    def _attend_to(self, node: PatchAttention, sight: Sight) -> Operation:
        keys, values, n = self._cache.keys, self._cache.values, self._n_rows["tokens"]
        integers = {
            0: self._memory.address(node.queries),
            1: node.queries.n_columns,
            2: n,
            3: 1,
            4: node.n_heads,
            5: keys.size,
            6: keys.address(0),
            7: keys.row_bytes,
            8: keys.format.load.address,
            10: values.address(0),
            11: values.row_bytes,
            12: values.format.load.address,
            13: PAGE_SIZE,
            14: sight.last.ctypes.data,
            15: sight.groups.ctypes.data,
            16: sight.page_table.ctypes.data,
            17: sight.page_table.shape[1],
            18: self._memory.address(node.output),
            19: _PATCHES_PER_CHUNK,
            20: self._memory.scratch,
            21: self._memory.scratch_bytes,
            23: values.size,
            24: keys.page_bytes,
            25: values.page_bytes,
            26: max(1, sight.page_table.shape[1]),
            27: 1,
        }
        words = arguments(attention.N_ARGUMENTS, integers, {22: node.scale})
        return Operation(attention.attend, words, -(-n // _PATCHES_PER_CHUNK) * node.n_heads)


def look(graph: Graph, picture: PictureStep, heads: TowerHeads, pool: WorkerPool) -> npt.NDArray[np.float32]:
    """See `TowerBackend.look`."""
    nodes = insert_conversions(graph.nodes)
    n_patches, n_results = len(picture.patches), len(picture.order)
    n_rows: dict[Rows, int] = {"tokens": n_patches, "outputs": n_results}
    sights = (Sight.of(np.zeros(n_patches, np.int32)), Sight.of(picture.windows))
    n_pages = max(sight.n_pages for sight in sights)
    shape = CacheShape(1, heads.n_heads, heads.head_size, heads.head_size, n_pages, PAGE_SIZE, *[heads.format] * 2)
    cache = CPUCache(shape)
    inputs = StepInputs(n_patches, 1, 1, nodes)
    inputs.section_positions[:] = picture.places
    inputs.outputs[:n_results] = picture.order
    attending = attention.scratch_bytes(heads.head_size, heads.head_size, PAGE_SIZE, 1, _PATCHES_PER_CHUNK)
    needed = max(attending, *(scratch_bytes(node, cache) for node in nodes))
    per_worker = -(-needed // ALIGNMENT) * ALIGNMENT
    offsets, n_bytes = lay_out(nodes, n_rows)
    arena, scratch = large_zeros(n_bytes), large_zeros(per_worker * pool.n_workers)
    memory = Memory(arena.ctypes.data, offsets, scratch.ctypes.data, per_worker)
    lowering = _Tower(memory, cache, inputs, n_rows, pool.n_workers, sights)
    plan = Plan(lowering.lower(nodes), keep=lowering.constants)
    _floats(arena, offsets[nodes[0].output.index], *picture.patches.shape)[:] = picture.patches
    pool.run(plan)
    return _floats(arena, offsets[graph.result.index], n_results, graph.result.n_columns).copy()


def _floats(memory: npt.NDArray[np.uint8], offset: int, n_rows: int, n_columns: int) -> npt.NDArray[np.float32]:
    return memory[offset : offset + 4 * n_rows * n_columns].view(np.float32).reshape(n_rows, n_columns)
