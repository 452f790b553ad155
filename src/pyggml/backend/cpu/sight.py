"""Which patches of a picture attend to each other, told as positions in the pages of a cache.

The attention of a decoder, which looks at all positions up to a token's own, sees a whole group of patches if each of
them asks for the group's last position. So a picture needs no kernel of its own, and no memory for pairs of patches.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pyggml_kernels.simd.vector import TILE_ROWS

Integers = npt.NDArray[np.int32]

#: Positions in a page, at most: it stays in the processor's cache while all queries of a chunk look at it.
_MOST_IN_A_PAGE = 256


def page_size(windows: Integers) -> int:
    """Positions in a page for a picture, whose patches lie in these windows: no more than a window fills."""
    largest = int(np.bincount(windows).max())
    return min(_MOST_IN_A_PAGE, -(-largest // TILE_ROWS) * TILE_ROWS)


@dataclass(frozen=True)
class Sight:
    """Groups of patches, each with pages of its own."""

    positions: Integers
    """(n_patches,), where in its group a patch is kept"""
    last: Integers
    """(n_patches,), the last position of its group"""
    groups: Integers
    """(n_patches,), rows of the page table"""
    page_table: Integers
    """(n_groups, pages of the largest group)"""
    n_pages: int
    """Of all groups."""

    @classmethod
    def of(cls, groups: Integers, page_size: int) -> "Sight":
        """Of groups (n_patches,) that are numbered from 0 on, their patches following each other."""
        sizes = np.bincount(groups)
        starts = np.cumsum([0, *sizes[:-1]])
        n_pages = -(-sizes // page_size)
        first_pages = np.cumsum([0, *n_pages[:-1]])
        return cls(
            positions=(np.arange(len(groups)) - starts[groups]).astype(np.int32),
            last=(sizes[groups] - 1).astype(np.int32),
            groups=np.ascontiguousarray(groups, np.int32),
            page_table=(first_pages[:, None] + np.arange(n_pages.max())).astype(np.int32),
            n_pages=int(n_pages.sum()),
        )
