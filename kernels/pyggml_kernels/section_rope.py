"""Rotary embedding of tokens with several positions: each section of a head's pairs turns by a position of its own.

Qwen2-VL (Wang et al., 2024, arXiv:2409.12191) has three for text and pictures (time, row,
column), its vision tower two.
"""

import math

import numpy as np

from pyggml_kernels.jit import kernel
from pyggml_kernels.memory import f32, f64, i32, i64

N_ARGUMENTS = 7


@kernel
def section_angles(arguments: int, chunk: int, worker: int) -> None:
    """Cosines and sines for a token's positions, in the layout of `rope_angles`; a token a chunk.

    As there, the angle of a section's pairs is reached by repeated multiplication in float32, from pair `origin` on.

    Arguments: 0 positions i32 (n, n_sections), 1 n_pairs, 2 out f32 (n, 2, n_pairs), 3 n_sections,
    4 sections i32 (n_sections, 3): the first pair, the end, the origin; and as doubles 5 theta scale,
    base^(-2/dimensions), 6 frequency scale.
    """
    a, d = i64(arguments, N_ARGUMENTS), f64(arguments, N_ARGUMENTS)
    n_pairs, n_sections = a[1], a[3]
    positions, sections = i32(a[0] + chunk * n_sections * 4, n_sections), i32(a[4], 3 * n_sections)
    cosines = f32(a[2] + chunk * n_pairs * 8, n_pairs)
    sines = f32(a[2] + chunk * n_pairs * 8 + n_pairs * 4, n_pairs)
    theta_scale, frequency_scale = np.float32(d[5]), np.float32(d[6])
    for section in range(n_sections):
        first, end, origin = sections[3 * section], sections[3 * section + 1], sections[3 * section + 2]
        theta = np.float32(positions[section])
        for pair in range(origin, end):
            if pair >= first:
                angle = frequency_scale * theta
                cosines[pair] = math.cos(angle)
                sines[pair] = math.sin(angle)
            theta = theta * theta_scale
