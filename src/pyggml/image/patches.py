"""A picture as patches, in the order in which Qwen2-VL's tower reads them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pyggml.image.reading import Pixels

Floats = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int32]

#: Patches on a side of the squares that are merged.
MERGE = 2


@dataclass(frozen=True)
class PatchGrid:
    """Rows and columns of merged patches."""

    n_rows: int
    n_columns: int

    @property
    def n_merged(self) -> int:
        """Merged patches, which is how many tokens the picture takes."""
        return self.n_rows * self.n_columns

    def places(self) -> Integers:
        """The row and the column (4 n_merged, 2) of each patch: merged patches row by row, inside of them likewise."""
        rows, columns = np.meshgrid(np.arange(self.n_rows), np.arange(self.n_columns), indexing="ij")
        corners = np.stack([rows.ravel(), columns.ravel()], axis=1) * MERGE
        inside = np.stack(np.meshgrid(np.arange(MERGE), np.arange(MERGE), indexing="ij"), axis=-1).reshape(-1, 2)
        places: Integers = (corners[:, None] + inside).reshape(-1, 2).astype(np.int32)
        return places


def normalized(pixels: Pixels, mean: Sequence[float], deviation: Sequence[float]) -> Floats:
    """Colours (height, width, 3) from 0 to 1, less their mean, in units of their deviation; each step in float32."""
    unit = pixels.astype(np.float32) / np.float32(255)
    means, deviations = (np.array(each, np.float32) for each in (mean, deviation))
    result: Floats = np.divide(unit - means, deviations)
    return result


def cut_into_patches(colours: Floats, patch_size: int) -> tuple[Floats, PatchGrid]:
    """Patches (n, 3 patch_size^2), colour by colour and row by row in each, in the order of `PatchGrid.places`."""
    height, width, _ = colours.shape
    square = MERGE * patch_size
    grid = PatchGrid(height // square, width // square)
    split = colours.reshape(grid.n_rows, MERGE, patch_size, grid.n_columns, MERGE, patch_size, 3)
    return np.ascontiguousarray(split.transpose(0, 3, 1, 4, 6, 2, 5)).reshape(4 * grid.n_merged, -1), grid
