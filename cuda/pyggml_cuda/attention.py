"""Attention over the paged cache."""

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from pyggml_cuda.cache import ROWS, TABLE, CacheFormat, CacheRows, PageTable
from pyggml_cuda.launch import FLOAT, INT, POINTER, KernelName, Launch, filled, structure

#: Positions that are summed up before they join the others, as in src/position_tiles.cuh; with few queries each is a
#: block's.
SPLIT_SIZE = 256

#: So many queries of a sequence are few, and so many tiles; each split has a block of its own then.
_FEW_QUERIES, _FEW_TILES = 32, 4
_SPLITS_TO_DOUBLE = 16
# With few queries, the most warps that share a value's columns; else groups of queries in a block.
_MOST_VALUE_WARPS, _QUERY_WARPS = 7, 4
#: The most columns of values that a warp with 16 queries has registers for.
_MOST_COLUMNS = 128
_POSITIONS = 64
#: Buffers of a tile's keys or values: what a multiprocessor has memory for in four blocks, or in two.
_FEW_BUFFERS, _BUFFERS = 3, 4
#: Shared memory that blocks take beside what is asked for, in bytes.
_STATIC_BYTES = 5 * 1024

ARGUMENTS = structure(
    dict.fromkeys(("queries", "sums", "states"), POINTER)
    | {"keys": ROWS, "values": ROWS, "table": TABLE, "tiles": POINTER, "n_heads": INT, "n_kv_heads": INT}
    | {"scale": FLOAT, "n_splits": INT}
)
TILE = structure({"first": INT, "n": INT, "first_token": INT})


@dataclass(frozen=True)
class AttentionShape:
    """How a batch's queries are cut into tiles, and positions into splits."""

    n_tiles: int
    rows: int
    """Queries of a warp, 8 or 16"""
    query_warps: int
    """Warps with queries of their own, in a tile"""
    n_splits: int
    """Splits that have blocks of their own; 1: a block goes through all of them"""


def most_query_warps(kinds: tuple[CacheFormat, CacheFormat], sizes: tuple[int, int], shared_limit: int) -> int:
    """Warps with queries of their own that blocks may have, for keys and values of these formats and sizes, in so many
    bytes of shared memory; 0 if these are too few."""
    room = shared_limit - _STATIC_BYTES - sum(_tile_bytes(kinds, sizes))
    return next((n for n in (_QUERY_WARPS, 2, 1) if _kept_bytes(16 * n, sizes[1]) <= room), 0)


def cut(
    sequences: npt.NDArray[np.int32], n_positions: int, group: int, query_warps: int
) -> tuple[AttentionShape, npt.NDArray[np.int32]]:
    """The shape for tokens of these sequences and the longest context, and the tiles (n_tiles, 3): the first query,
    the number of queries, and the first token of the sequence.

    A token has `group` queries that share keys and values; blocks may have so many warps with queries of their own.
    """
    changes = (np.flatnonzero(sequences[1:] != sequences[:-1]) + 1).tolist()
    runs = list(pairwise([0, *changes, len(sequences)]))
    longest = group * max(end - first for first, end in runs)
    rows = 8 if longest <= 8 else 16
    few = longest <= _FEW_QUERIES
    query_warps = 1 if few else query_warps
    size = rows * query_warps
    # The last queries have the most positions, so they come first.
    tiles = [
        (start, min(size, end * group - start), first)
        for first, end in reversed(runs)
        for start in reversed(range(first * group, end * group, size))
    ]
    n_splits = _rounded(-(-n_positions // SPLIT_SIZE)) if few or len(tiles) <= _FEW_TILES else 1
    return AttentionShape(len(tiles), rows, query_warps, n_splits), np.array(tiles, np.int32).reshape(-1, 3)


def attend(
    shape: AttentionShape,
    n_heads: int,
    n_kv_heads: int,
    sizes: tuple[int, int],
    scale: float,
    addresses: tuple[int, int, int, int],
    rows: tuple[CacheRows, CacheRows],
    table: PageTable,
    shared_limit: int,
) -> Launch:
    """Attention of queries of `sizes[0]` numbers to values of `sizes[1]`, by blocks with at most so many bytes of
    shared memory.

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
        "scale": scale * math.log2(math.e),
        "n_splits": shape.n_splits,
    }
    value_warps = _value_warps(shape.query_warps == 1, value_size)
    kinds = keys.kind, values.kind
    copy_bytes, other_bytes = _tile_bytes(kinds, sizes)
    if shape.n_splits == 1:
        other_bytes += _kept_bytes(shape.rows * shape.query_warps, value_size)
    room = (shared_limit - _STATIC_BYTES - other_bytes) // copy_bytes
    buffers = min(room, _FEW_BUFFERS if shape.query_warps == 1 else _BUFFERS)
    numbers = size, value_size, shape.rows, shape.query_warps, value_warps, buffers
    name = f"attend<{keys.kind.expression}, {values.kind.expression}, {', '.join(map(str, numbers))}>"
    grid = (n_kv_heads, shape.n_tiles, shape.n_splits)
    shared_bytes = buffers * copy_bytes + other_bytes
    block = 32 * shape.query_warps * value_warps
    return Launch(KernelName("attention.cu", name), grid, block, (filled(ARGUMENTS, fields),), shared_bytes)


def _rounded(n_splits: int) -> int:
    """At least so many, but one of a few numbers, as each has graphs of its own; from 16 on at most a quarter more."""
    power = 1 << (n_splits - 1).bit_length()
    step = max(1, power // 8)
    return power if power <= _SPLITS_TO_DOUBLE else -(-n_splits // step) * step


def _tile_bytes(kinds: tuple[CacheFormat, CacheFormat], sizes: tuple[int, int]) -> tuple[int, int]:
    """Bytes of a tile's keys or values as they are copied, and decoded."""
    both = list(zip(kinds, sizes, strict=True))
    copied, decoded = (kind.copy_bytes(size) for kind, size in both), (kind.decoded_bytes(size) for kind, size in both)
    return _POSITIONS * max(copied), _POSITIONS * max(decoded)


def _kept_bytes(n_queries: int, value_size: int) -> int:
    """What a block that goes through all splits has found so far."""
    return 4 * n_queries * value_size


def _value_warps(few: bool, value_size: int) -> int:
    """Warps among which the columns of values are shared out, 16 at a time: many if there are few queries, or few."""
    allowed = [n for n in range(1, _MOST_VALUE_WARPS + 1) if value_size // 16 % n == 0]
    if few:
        return allowed[-1]
    return next((n for n in allowed if value_size // n <= _MOST_COLUMNS), 1)
