"""Attention over the patches of a picture."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from pyggml_cuda.launch import FLOAT, INT, POINTER, KernelName, Launch, filled, structure

#: The largest head that the kernel has registers for.
LARGEST_SIZE = 128
_SIZE_MULTIPLE = 16
#: Threads of a block, and queries of its four warps where each takes a group of 16.
_THREADS, _QUERIES = 128, 64
#: The largest head of which a warp takes two groups of queries, and the fewest patches of which it does.
_LARGEST_OF_TWO_GROUPS, _PATCHES_FOR_TWO_GROUPS = 80, 1024
_KEYS = 64
_LOG2_E = 1.4426950408889634

HEADS_ARGUMENTS = structure(
    dict.fromkeys(("sources", "biases", "targets"), (POINTER, 3))
    | {"angles": POINTER}
    | dict.fromkeys(("n_heads", "size", "padded_size", "through_bfloats"), INT)
    | {"scale": FLOAT}
)
ARGUMENTS = structure(
    dict.fromkeys(("queries", "keys", "values", "out", "tiles"), POINTER) | dict.fromkeys(("n_patches", "size"), INT)
)


@dataclass(frozen=True)
class PatchHeads:
    """Heads of so many patches."""

    n_patches: int
    n_heads: int
    size: int
    """A multiple of 4."""

    @property
    def padded_size(self) -> int:
        """Halves of a head as attention reads it."""
        return -(-self.size // _SIZE_MULTIPLE) * _SIZE_MULTIPLE

    @property
    def n_bytes(self) -> int:
        """Bytes of the queries, the keys or the values of all patches, as attention reads them."""
        return 2 * self.n_patches * self.n_heads * self.padded_size


@dataclass(frozen=True)
class Tiles:
    """How the queries of a picture are cut into tiles."""

    rows: npt.NDArray[np.int32]
    """(n_tiles, 4): the first query, the number of queries, the first key that they see and the end of these"""
    n_groups: int
    """Groups of 16 queries that a warp takes"""


def cut(windows: npt.NDArray[np.int32], head_size: int, n_groups: int = 0) -> Tiles:
    """Tiles for patches (n_patches,) of windows that are numbered from 0 on and follow each other; patches see their
    own window. `n_groups` of 16 queries a warp, 0 for as many as suit."""
    bounds = np.flatnonzero(np.diff(windows, prepend=-1, append=-1))
    largest = int(np.diff(bounds).max())
    suits_two = head_size <= _LARGEST_OF_TWO_GROUPS and largest >= _PATCHES_FOR_TWO_GROUPS
    n_groups = n_groups or 1 + suits_two
    most = n_groups * _QUERIES
    rows = [
        (start, min(most, end - start), first, end)
        for first, end in pairwise(map(int, bounds))
        for start in range(first, end, most)
    ]
    return Tiles(np.array(rows, np.int32), n_groups)


def place_heads(
    heads: PatchHeads,
    sources: tuple[int, int, int],
    angles: int,
    targets: tuple[int, int, int],
    scale: float,
    *,
    biases: tuple[int, int, int] = (0, 0, 0),
    through_bfloats: bool = False,
) -> Launch:
    """Queries, keys and values as floats (n_patches, n_heads * size), plus biases, to halves (n_heads, n_patches,
    padded_size): queries and keys turned by angles (n_patches, 2, size / 2), queries times the scale of the scores.
    """
    values = {
        "sources": sources,
        "biases": biases,
        "targets": targets,
        "angles": angles,
        "n_heads": heads.n_heads,
        "size": heads.size,
        "padded_size": heads.padded_size,
        "through_bfloats": through_bfloats,
        "scale": scale * _LOG2_E,
    }
    kernel = KernelName("patch_heads.cu", "place_heads")
    return Launch(kernel, (heads.n_patches, 3, 1), _THREADS, (filled(HEADS_ARGUMENTS, values),))


def attend(
    heads: PatchHeads, halves: tuple[int, int, int], out: int, tiles: int, n_tiles: int, n_groups: int
) -> Launch:
    """Attention of what `place_heads` gives, to floats (n_patches, n_heads * size); `tiles` is where the rows of
    `Tiles` are."""
    queries, keys, values = halves
    fields = {
        "queries": queries,
        "keys": keys,
        "values": values,
        "out": out,
        "tiles": tiles,
        "n_patches": heads.n_patches,
        "size": heads.size,
    }
    kernel = KernelName("patch_attention.cu", f"attend_patches<{heads.padded_size}, {n_groups}>")
    # Two stages of keys and values, rows padded (src/patch_attention.cu).
    shared_bytes = 2 * 2 * 2 * _KEYS * (heads.padded_size + 8)
    return Launch(kernel, (n_tiles, heads.n_heads, 1), _THREADS, (filled(ARGUMENTS, fields),), shared_bytes)
