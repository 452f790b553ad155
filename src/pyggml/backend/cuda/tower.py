"""A vision tower on the GPU: launches for one picture, whose memory is given back when it is done."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from pyggml.backend import graph as g
from pyggml.backend.cuda.activations import Pending
from pyggml.backend.cuda.cache import CUDACache
from pyggml.backend.cuda.exchange import Exchange
from pyggml.backend.cuda.failures import at_work, room_for
from pyggml.backend.cuda.inputs import StepInputs, n_sections
from pyggml.backend.cuda.lowering import Lowering
from pyggml.backend.cuda.memory import Buffer, addresses, lay_out
from pyggml.backend.cuda.weights import cuda_weight
from pyggml.backend.gpu_limits import check_picture
from pyggml.backend.protocol import CacheShape, PictureStep, Step, TowerHeads
from pyggml.backend.tower_graph import GELU, LayerNorm, Merge, PatchAttention, Patches
from pyggml_cuda import device, patch_attention
from pyggml_cuda.attention import AttentionShape
from pyggml_cuda.convert import Source
from pyggml_cuda.patch_attention import PatchHeads, Tiles

_GELU = {"tanh": "GELU<false>", "quick": "GELU<true>"}
#: A decoder's cache and its attention, of which a tower has none.
_NO_CACHE, _NO_ATTENTION = CacheShape(0, 1, 16, 16, 0, 1, "f16", "f16"), AttentionShape(0, 1, 1, 1)


class _Tower(Lowering):
    """Turns the operations of a tower into launches, for one picture."""

    def __init__(
        self,
        inputs: StepInputs,
        n_rows: Mapping[g.Rows, int],
        heads: TowerHeads,
        sights: tuple[Tiles, Tiles],
        number: int,
    ) -> None:
        """`sights` are that of the whole picture and that in windows, whose tiles are sent one after the other."""
        super().__init__(CUDACache(_NO_CACHE, number), inputs, Exchange(), _no_constant, n_rows, _NO_ATTENTION)
        self._heads = PatchHeads(n_rows["tokens"], heads.n_heads, heads.head_size)
        self._through_bfloats = heads.format == "bf16"
        self._sights = sights
        self._late_biases: dict[int, int] = {}
        self._lower |= {
            Patches: self._first_rows,
            LayerNorm: self._layer_norm,
            GELU: self._gelu,
            PatchAttention: self._patch_attention,
            Merge: self._merge,
        }

    def lower(self, nodes: Sequence[g.Node]) -> Buffer:
        """See `Lowering.lower`. Biases whose sums only attention or an activation reads are added there, which saves
        reading and writing these values once more."""
        late = _with_late_biases(nodes)
        self._late_biases = {node.output.index: cuda_weight(node.bias).address for node in late if node.bias}
        stripped = {node.output.index: replace(node, bias=None) for node in late}
        return super().lower([stripped.get(node.output.index, node) for node in nodes])

    def _bias(self, value: g.Value) -> int:
        """The address of what is to be added to a value yet, or 0."""
        return self._late_biases.get(value.index, 0)

    def _layer_norm(self, node: LayerNorm) -> None:
        x, columns, epsilon = self._values.floats(node.x, self._n(node.x)), node.x.n_columns, node.epsilon
        weight, bias = cuda_weight(node.weight).address, cuda_weight(node.bias).address
        pending = Pending((x,), lambda at: Source("LayerNorm", columns, at(x), weight, epsilon=epsilon, third=bias))
        self._values.set_pending(node.output, pending)

    def _gelu(self, node: GELU) -> None:
        x, columns, kind = self._values.floats(node.x, self._n(node.x)), node.x.n_columns, _GELU[node.kind]
        bias = self._bias(node.x)
        self._values.set_pending(node.output, Pending((x,), lambda at: Source(kind, columns, at(x), bias)))

    def _merge(self, node: Merge) -> None:
        # The numbers stay where they are.
        self._values.set_floats(node.output, self._values.floats(node.x, self._n(node.x)))

    def _patch_attention(self, node: PatchAttention) -> None:
        n, heads = self._n(node.output), self._heads
        queries, keys = (self._turned[each.index] for each in (node.queries, node.keys))
        q, k, v, angles = (self._values.floats(each, n) for each in (queries.x, keys.x, node.values, keys.angles))
        biases = self._bias(queries.x), self._bias(keys.x), self._bias(node.values)
        halves = Buffer(heads.n_bytes), Buffer(heads.n_bytes), Buffer(heads.n_bytes)
        self._launch(
            (q, k, v, angles),
            halves,
            lambda at: patch_attention.place_heads(
                heads,
                (at(q), at(k), at(v)),
                at(angles),
                (at(halves[0]), at(halves[1]), at(halves[2])),
                node.scale,
                biases=biases,
                through_bfloats=self._through_bfloats,
            ),
        )
        out, sight = self._float_buffer(node.output), self._sights[node.in_windows]
        tiles = self._inputs.tiles + (self._sights[0].rows.nbytes if node.in_windows else 0)
        self._launch(
            halves,
            (out,),
            lambda at: patch_attention.attend(
                heads, (at(halves[0]), at(halves[1]), at(halves[2])), at(out), tiles, len(sight.rows), sight.n_groups
            ),
        )


def _with_late_biases(nodes: Sequence[g.Node]) -> list[g.Linear]:
    """The products whose results only rotary embedding, attention or GELU read."""
    readers: dict[int, list[g.Node]] = {node.output.index: [] for node in nodes}
    for node in nodes:
        for value in node.inputs:
            readers[value.index].append(node)

    def is_late(node: g.Linear) -> bool:
        behind = readers[node.output.index]
        return bool(behind) and all(isinstance(each, g.Rotate | PatchAttention | GELU) for each in behind)

    return [node for node in nodes if isinstance(node, g.Linear) and node.bias and is_late(node)]


def look(graph: g.Graph, picture: PictureStep, heads: TowerHeads, number: int) -> npt.NDArray[np.float32]:
    """See `TowerBackend.look`; on the GPU of this number."""
    n_patches, n_results = len(picture.patches), len(picture.order)
    check_picture(n_patches)
    whole = patch_attention.cut(np.zeros(n_patches, np.int32), heads.head_size)
    sights = whole, patch_attention.cut(picture.windows, heads.head_size)
    tiles = np.concatenate([sight.rows for sight in sights])
    with room_for(f"a picture of {n_patches} patches; a smaller --image-max-tokens needs less", number):
        # A tile has four numbers here, in a decoder three.
        inputs = StepInputs(n_patches, 1, 1, -(-4 * len(tiles) // 3), [graph.nodes[0].output], n_sections(graph.nodes))
        lowering = _Tower(inputs, {"tokens": n_patches, "outputs": n_results}, heads, sights, number)
        result = lowering.lower(graph.nodes)
        offsets, n_bytes = lay_out(lowering.operations, result)
        arena = device.allocate(n_bytes)
    at = addresses(offsets, int(arena.data.ptr))
    found = device.pinned(4 * n_results * graph.result.n_columns).view(np.float32).reshape(n_results, -1)
    with at_work(number):
        stream = device.new_stream()
        inputs.send(_as_step(picture), tiles, [picture.patches], stream)
        # The GPU computes with what is launched while the next launch is being made.
        for each in lowering.operations:
            each.build(at)(stream)
        device.copy_to_host(found, at(result), stream)
        stream.synchronize()
    return found.copy()


def _as_step(picture: PictureStep) -> Step:
    """The patches as tokens of one sequence."""
    zeros = np.zeros(len(picture.patches), np.int32)
    return Step(zeros, zeros, zeros, np.zeros((1, 1), np.int32), picture.order, section_positions=picture.places)


def _no_constant(_: object) -> int:
    raise TypeError("a tower has no constants")
