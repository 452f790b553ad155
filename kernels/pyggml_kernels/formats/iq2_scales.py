"""The scales of IQ2_XS and IQ2_S: 4 bits for each of 16 groups of 16 weights, under one half-precision scale."""

from typing import Any

import numpy as np

from pyggml_kernels.formats.words import field
from pyggml_kernels.jit import device
from pyggml_kernels.memory import f32


@device
def store_scales(scales: int, minimums: int, d: Any, word: Any) -> None:
    """Write the 16 scales of a block, d (bits + 1/2) / 4, and as many minimums of zero."""
    scale, minimum = f32(scales, 16), f32(minimums, 16)
    for group in range(16):
        scale[group] = d * (np.float32(field(word, group * 4, 4)) + np.float32(0.5)) * np.float32(0.25)
        minimum[group] = 0
