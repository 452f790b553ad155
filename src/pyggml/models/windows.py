"""The windows of Qwen2.5-VL's tower (arXiv:2502.13923, section 2.1.1): squares that see only themselves."""

import numpy as np
import numpy.typing as npt

from pyggml.image import PatchGrid

Integers = npt.NDArray[np.int32]


def windows_of(grid: PatchGrid, side: int) -> tuple[Integers, Integers]:
    """Merged patches (n_merged,) window by window, and the window of each in that order.

    Windows have `side` merged patches on a side, fewer at the right and the lower edge.
    """
    rows, columns = np.divmod(np.arange(grid.n_merged), grid.n_columns)
    window = rows // side * -(-grid.n_columns // side) + columns // side
    order = np.argsort(window, kind="stable")
    return order.astype(np.int32), window[order].astype(np.int32)
