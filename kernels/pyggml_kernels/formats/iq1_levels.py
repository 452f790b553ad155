"""The levels of IQ1_S and IQ1_M: -1, 0 or 1, and an eighth more or less, alike for 8 weights; all of it times 8."""

from typing import Any

import numpy as np

from pyggml_kernels.formats.iq_grids import IQ1_GRID
from pyggml_kernels.formats.words import less
from pyggml_kernels.jit import device

#: What a scale is multiplied with to make up for the levels; exact, so that a product of the two is that of ggml.
EIGHTH = np.float32(0.125)


@device
def eight_levels(code: Any, is_less: Any) -> Any:
    """The run of a code, raised by 1, or lowered by 1 if `is_less` is 1."""
    return less(IQ1_GRID[code], 7 + 2 * is_less)
