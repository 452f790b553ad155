"""Attention over the paged cache."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from pyggml_cuda.cache import ROWS, TABLE, CacheRows, PageTable
from pyggml_cuda.launch import FLOAT, INT, POINTER, KernelName, Launch, filled, structure

#: Positions that are summed up before they join the others; with few queries each is a block's.
SPLIT_SIZE = 256

_ROWS_PER_WARP = 16
# Warps that share a tile's positions, and, in prompts, groups of 16 queries in a block.
_KEY_WARPS, _QUERY_WARPS = 4, 2
_POSITIONS = 64
_WIDEST_PIPELINED = 256

ARGUMENTS = structure(
    dict.fromkeys(("queries", "sums", "states"), POINTER)
    | {"keys": ROWS, "values": ROWS, "table": TABLE, "tiles": POINTER, "n_heads": INT, "n_kv_heads": INT}
    | {"scale": FLOAT, "split_size": INT, "n_splits": INT}
)


@dataclass(frozen=True)
class AttentionShape:
    """How a batch's queries are cut into tiles, and positions into splits."""

    n_tiles: int
    query_warps: int
    """16 queries each, in a tile"""
    n_splits: int
    """Splits that have blocks of their own; 1: a block goes through all of them"""


def cut(sequences: npt.NDArray[np.int32], n_positions: int, group: int) -> tuple[AttentionShape, npt.NDArray[np.int32]]:
    """The shape for tokens of these sequences and the longest context, and the tiles (n_tiles, 2): the first query
    and the number of queries. A token has `group` queries that share keys and values."""
    changes = (np.flatnonzero(sequences[1:] != sequences[:-1]) + 1).tolist()
    bounds = [group * token for token in (0, *changes, len(sequences))]
    longest = max(end - first for first, end in pairwise(bounds))
    few = longest <= max(group, _ROWS_PER_WARP)
    query_warps = 1 if few else _QUERY_WARPS
    size = _ROWS_PER_WARP * query_warps
    tiles = [(start, min(size, end - start)) for first, end in pairwise(bounds) for start in range(first, end, size)]
    n_splits = 1 << max(0, -(-n_positions // SPLIT_SIZE) - 1).bit_length() if few else 1
    return AttentionShape(len(tiles), query_warps, n_splits), np.array(tiles, np.int32)


def attend(
    shape: AttentionShape,
    n_heads: int,
    n_kv_heads: int,
    sizes: tuple[int, int],
    scale: float,
    addresses: tuple[int, int, int, int],
    rows: tuple[CacheRows, CacheRows],
    table: PageTable,
    *,
    pipelined: bool = True,
) -> Launch:
    """Attention of queries of `sizes[0]` numbers to values of `sizes[1]`; `pipelined`, a tile is copied while the one
    before it is computed with, which takes twice the shared memory and compute capability 8.0.

    Addresses: queries, sums (n_tokens, n_heads, n_splits, value size), states (n_tokens, n_heads, n_splits, 2), tiles.
    The result is what the source `Splits` of `convert` makes of sums and states.
    """
    queries, sums, states, tiles = addresses
    size, value_size = sizes
    keys, values = rows
    fields = {
        "queries": queries,
        "sums": sums,
        "states": states,
        "keys": keys.fields(),
        "values": values.fields(),
        "table": table.fields(),
        "tiles": tiles,
        "n_heads": n_heads,
        "n_kv_heads": n_kv_heads,
        "scale": scale,
        "split_size": SPLIT_SIZE,
        "n_splits": shape.n_splits,
    }
    stages = 2 if pipelined and size + value_size <= _WIDEST_PIPELINED else 1
    name = f"attend<{keys.expression}, {values.expression}, {size}, {value_size}, {shape.query_warps}, {stages}>"
    shared_bytes = stages * 2 * _POSITIONS * (size + value_size + 16)
    n_warps = _KEY_WARPS * shape.query_warps
    shared_bytes = max(shared_bytes, 4 * n_warps * _ROWS_PER_WARP * (value_size + 8))
    grid = (shape.n_tiles, n_kv_heads, shape.n_splits)
    return Launch(KernelName("attention.cu", name), grid, 32 * n_warps, (filled(ARGUMENTS, fields),), shared_bytes)
