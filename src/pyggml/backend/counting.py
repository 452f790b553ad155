"""A GPU that is not there: it counts the bytes that weights and a cache would take on one."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pyggml.backend.arena import lay_out
from pyggml.backend.gpu_limits import cache_bytes, check_cache, check_matrix, matrix_bytes
from pyggml.backend.graph import Graph, Linear, Node
from pyggml.backend.protocol import CacheShape
from pyggml.backend.tower_graph import PatchAttention
from pyggml_cuda.patch_attention import PatchHeads
from pyggml_kernels.formats import Format

#: A share of what values take, as they leave gaps between them: one in so many bytes.
_GAPS = 4


@dataclass(frozen=True)
class CountedWeight:
    """A weight that lies nowhere."""

    n_rows: int
    n_columns: int


class MainMemory:
    """A place that is no GPU, and takes everything; holds nothing."""

    def matrix(self, data: npt.NDArray[np.uint8], type_id: int, n_rows: int, n_columns: int) -> CountedWeight:
        """See `Backend.matrix`."""
        return CountedWeight(n_rows, n_columns)

    def table(self, data: npt.NDArray[np.uint8], type_id: int, n_rows: int, n_columns: int) -> CountedWeight:
        """See `Backend.table`."""
        return CountedWeight(n_rows, n_columns)

    def vector(self, data: npt.NDArray[np.uint8], type_id: int, n_columns: int) -> CountedWeight:
        """See `Backend.vector`."""
        return CountedWeight(1, n_columns)


class CountingGPU:
    """Refuses what a GPU does not take, as the CUDA backend does; holds nothing."""

    def __init__(self, formats: Mapping[int, Format]) -> None:
        self.n_bytes = 0
        self.n_passing_bytes = 0
        """Bytes of the largest matrix as the file has it: it passes through the GPU's memory."""
        self._formats = formats

    def matrix(self, data: npt.NDArray[np.uint8], type_id: int, n_rows: int, n_columns: int) -> CountedWeight:
        """See `Backend.matrix`."""
        check_matrix(self._formats[type_id], n_columns)
        self.n_bytes += matrix_bytes(self._formats[type_id], n_rows, n_columns)
        self.n_passing_bytes = max(self.n_passing_bytes, data.nbytes)
        return CountedWeight(n_rows, n_columns)

    def table(self, data: npt.NDArray[np.uint8], type_id: int, n_rows: int, n_columns: int) -> CountedWeight:
        """See `Backend.table`: tables stay in main memory."""
        return CountedWeight(n_rows, n_columns)

    def vector(self, data: npt.NDArray[np.uint8], type_id: int, n_columns: int) -> CountedWeight:
        """See `Backend.vector`."""
        self.n_bytes += 4 * n_columns
        return CountedWeight(1, n_columns)

    def count_cache(self, shape: CacheShape) -> None:
        """Add a cache."""
        check_cache(shape)
        self.n_bytes += cache_bytes(shape)


def picture_bytes(graph: Graph, n_merged: int) -> int:
    """Bytes that a picture of so many merged patches comes to on its way through a tower: its patches, the values of
    the graph, and what some operation reads once more in the form that it wants."""
    n_patches, (patches, *nodes) = 4 * n_merged, graph.nodes
    _, n_bytes = lay_out(nodes, {"tokens": n_patches, "outputs": n_merged})
    forms = max(_form_bytes(node) for node in nodes)
    return n_bytes + n_bytes // _GAPS + n_patches * (patches.output.row_bytes + forms)


def _form_bytes(node: Node) -> int:
    """Bytes of a patch in the form that an operation wants: halves, unless it is smaller."""
    if isinstance(node, PatchAttention):
        return 3 * PatchHeads(1, node.n_heads, node.output.n_columns // node.n_heads).n_bytes
    return 2 * node.x.n_columns if isinstance(node, Linear) and node.x.rows == "tokens" else 0
