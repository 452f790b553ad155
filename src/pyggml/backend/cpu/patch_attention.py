"""The attention of patches as the CPU computes it: keys and values go into pages, and then all queries attend."""

from collections.abc import Sequence
from dataclasses import dataclass

from pyggml.backend.cpu.arguments import arguments
from pyggml.backend.cpu.cache import CPUCache
from pyggml.backend.cpu.memory import Memory
from pyggml.backend.cpu.sight import Sight
from pyggml.backend.graph import Node, Value
from pyggml.backend.tower_graph import PatchAttention
from pyggml_kernels import attention
from pyggml_kernels.plan import Operation

#: Patches whose queries share one conversion of a page of keys and values, at most and at least.
_MOST_PER_CHUNK, _FEWEST_PER_CHUNK = 384, 48
#: Chunks for each worker: enough that one worker's delay is shared by all.
_CHUNKS_PER_WORKER = 8


@dataclass(frozen=True)
class Keep(Node):
    """Writes keys, or values, into pages; its output is empty, and stands for what lies there."""

    x: Value
    are_keys: bool
    in_windows: bool


@dataclass(frozen=True)
class Attend(Node):
    """Every query attends to all that was kept of the picture, or of its window."""

    queries: Value
    keys: Value
    values: Value
    n_heads: int
    scale: float
    in_windows: bool

    @property
    def overwrites(self) -> Value | None:
        """A chunk copies its queries before it writes in their place."""
        return self.queries


def split_attention(nodes: Sequence[Node]) -> list[Node]:
    """The same operations with each `PatchAttention` as two `Keep` and an `Attend`."""
    result: list[Node] = []
    free_index = len(nodes)
    for node in nodes:
        if not isinstance(node, PatchAttention):
            result.append(node)
            continue
        keys, values = (Value(index, node.output.rows, 0) for index in (free_index, free_index + 1))
        free_index += 2
        result += [
            Keep(keys, node.keys, True, node.in_windows),
            Keep(values, node.values, False, node.in_windows),
            Attend(node.output, node.queries, keys, values, node.n_heads, node.scale, node.in_windows),
        ]
    return result


def patches_per_chunk(n_patches: int, n_heads: int, n_workers: int) -> int:
    """Patches whose queries of one head are a chunk."""
    share = n_patches * n_heads // (n_workers * _CHUNKS_PER_WORKER)
    return max(_FEWEST_PER_CHUNK, min(_MOST_PER_CHUNK, share))


def scratch_bytes(cache: CPUCache, n_patches: int, n_workers: int) -> int:
    """Bytes of scratch that one worker needs for `Attend`."""
    shape = cache.shape
    per_chunk = patches_per_chunk(n_patches, shape.n_kv_heads, n_workers)
    return attention.scratch_bytes(shape.key_size, shape.value_size, shape.page_size, 1, per_chunk)


def lower_keep(node: Keep, memory: Memory, cache: CPUCache, sight: Sight, first: int, n: int) -> Operation:
    """Of `n` patches from the `first` on, where `node.x` begins."""
    store = cache.keys if node.are_keys else cache.values
    integers = {
        0: memory.address(node.x),
        1: node.x.n_columns,
        2: cache.shape.n_kv_heads,
        3: store.size,
        4: store.address(0),
        5: store.row_bytes,
        6: cache.shape.page_size,
        7: sight.positions[first:].ctypes.data,
        8: sight.groups[first:].ctypes.data,
        9: sight.page_table.ctypes.data,
        10: sight.page_table.shape[1],
        11: store.format.store.address,
        12: store.page_bytes,
    }
    return Operation(attention.store_rows, arguments(attention.N_ARGUMENTS, integers), n)


def lower_attend(node: Attend, memory: Memory, cache: CPUCache, sight: Sight, n_workers: int) -> Operation:
    """Of all patches."""
    keys, values, n = cache.keys, cache.values, len(sight.groups)
    per_chunk = patches_per_chunk(n, node.n_heads, n_workers)
    integers = {
        0: memory.address(node.queries),
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
        13: cache.shape.page_size,
        14: sight.last.ctypes.data,
        15: sight.groups.ctypes.data,
        16: sight.page_table.ctypes.data,
        17: sight.page_table.shape[1],
        18: memory.address(node.output),
        19: per_chunk,
        20: memory.scratch,
        21: memory.scratch_bytes,
        23: values.size,
        24: keys.page_bytes,
        25: values.page_bytes,
        26: max(1, sight.page_table.shape[1]),
        27: 1,
    }
    words = arguments(attention.N_ARGUMENTS, integers, {22: node.scale})
    return Operation(attention.attend, words, -(-n // per_chunk) * node.n_heads)
