"""A vision tower on the CPU: plans for one picture, whose memory is given back when it is done."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from pyggml.backend.arena import ALIGNMENT
from pyggml.backend.cpu.arguments import arguments
from pyggml.backend.cpu.cache import CPUCache
from pyggml.backend.cpu.inputs import StepInputs
from pyggml.backend.cpu.large_pages import large_zeros
from pyggml.backend.cpu.lowering import Lowering, cpu_weight, scratch_bytes
from pyggml.backend.cpu.memory import Memory
from pyggml.backend.cpu.patch_attention import Attend, Keep, lower_attend, lower_keep, split_attention
from pyggml.backend.cpu.patch_attention import scratch_bytes as attention_scratch_bytes
from pyggml.backend.cpu.quantization import insert_conversions
from pyggml.backend.cpu.sight import Sight, page_size
from pyggml.backend.cpu.stretches import BLOCK_PATCHES, Places, cut
from pyggml.backend.graph import Graph, Node, Rows, SectionAngles, SelectOutputs, Value
from pyggml.backend.protocol import CacheShape, PictureStep, TowerHeads
from pyggml.backend.tower_graph import GELU, LayerNorm, Merge, Patches
from pyggml_kernels import gelu, layer_norm
from pyggml_kernels.plan import Operation, Plan
from pyggml_kernels.threads import WorkerPool

_ELEMENTS_PER_CHUNK = 8192
_GELU = {"tanh": gelu.gelu, "quick": gelu.gelu_quick}
#: Patches that become one.
_MERGED = 4


class _Tower(Lowering):
    """Turns the operations of a tower into kernel calls, for a block of patches."""

    def __init__(
        self,
        memory: Memory,
        cache: CPUCache,
        inputs: StepInputs,
        n_rows: dict[Rows, int],
        n_workers: int,
        sights: tuple[Sight, Sight],
        first: int,
    ) -> None:
        """`sights` are that of the whole picture and that in windows; `first` is the first patch."""
        super().__init__(memory, cache, inputs, n_rows, n_workers)
        self._lower |= {
            Patches: lambda node: [],
            Merge: lambda node: [],
            LayerNorm: self._layer_norm,
            GELU: self._gelu,
            Keep: lambda node: [lower_keep(node, memory, cache, sights[node.in_windows], first, n_rows["tokens"])],
            Attend: lambda node: [lower_attend(node, memory, cache, sights[node.in_windows], n_workers)],
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


def _needs_all_rows(node: Node) -> bool:
    """Whether an operation looks at several rows, or at what is given for all of them."""
    return isinstance(node, Patches | SectionAngles | Attend | SelectOutputs)


def _rows(n_patches: int) -> dict[Rows, int]:
    return {"tokens": n_patches, "outputs": n_patches // _MERGED}


class _Look:
    """One picture on its way through a tower."""

    def __init__(self, graph: Graph, picture: PictureStep, heads: TowerHeads, n_workers: int) -> None:
        """Take memory for all of it."""
        nodes = insert_conversions(split_attention(graph.nodes))
        n, self._n_workers = len(picture.patches), n_workers
        self._n_patches, self._patches = n, picture.patches
        size = page_size(picture.windows)
        self._sights = Sight.of(np.zeros(n, np.int32), size), Sight.of(picture.windows, size)
        n_pages = max(sight.n_pages for sight in self._sights)
        shape = CacheShape(1, heads.n_heads, heads.head_size, heads.head_size, n_pages, size, *[heads.format] * 2)
        self._cache = CPUCache(shape)
        self._inputs = StepInputs(n, 1, 1, nodes)
        self._inputs.section_positions[:] = picture.places
        self._inputs.outputs[: len(picture.order)] = picture.order
        self._stretches = cut(nodes, _needs_all_rows)
        self._places = Places(self._stretches, _rows(n), _rows(min(BLOCK_PATCHES, n)))
        attending = attention_scratch_bytes(self._cache, n, n_workers)
        needed = max(attending, *(scratch_bytes(node, self._cache) for node in nodes))
        self._per_worker = -(-needed // ALIGNMENT) * ALIGNMENT
        self._arena, self._scratch = large_zeros(self._places.n_bytes), large_zeros(self._per_worker * n_workers)

    def plans(self) -> Iterator[Plan]:
        """For one stretch after the other."""
        for number, stretch in enumerate(self._stretches):
            n = BLOCK_PATCHES if stretch.in_blocks else self._n_patches
            blocks = [
                self._lowering(number, first, min(n, self._n_patches - first)) for first in range(0, self._n_patches, n)
            ]
            operations = [operation for block in blocks for operation in block.lower(stretch.nodes)]
            yield Plan(operations, keep=[block.constants for block in blocks])

    def _lowering(self, number: int, first: int, n: int) -> _Tower:
        """For `n` patches from the `first` on."""
        start = self._arena.ctypes.data
        offsets = self._places.offsets(number, _rows(first))
        # Kernels read the picture where it is.
        offsets[self._stretches[0].nodes[0].output.index] = self._patches[first:].ctypes.data - start
        memory = Memory(start, offsets, self._scratch.ctypes.data, self._per_worker)
        return _Tower(memory, self._cache, self._inputs, _rows(n), self._n_workers, self._sights, first)

    def result(self, value: Value, n: int) -> npt.NDArray[np.float32]:
        """The first rows of a value that all of the last stretch knows."""
        start = self._places.offsets(len(self._stretches) - 1, _rows(0))[value.index]
        found = self._arena[start : start + n * value.row_bytes]
        return found.view(np.float32).reshape(n, value.n_columns).copy()


def look(graph: Graph, picture: PictureStep, heads: TowerHeads, pool: WorkerPool) -> npt.NDArray[np.float32]:
    """See `TowerBackend.look`. Between two plans Ctrl-C is heeded."""
    tower = _Look(graph, picture, heads, pool.n_workers)
    for plan in tower.plans():
        pool.run(plan)
    return tower.result(graph.result, len(picture.order))
