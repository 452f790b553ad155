"""The argument words of kernels."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from pyggml.backend.graph import Rope, SectionRope
from pyggml_kernels import rope as kernels


def arguments(n: int, integers: Mapping[int, int], doubles: Mapping[int, float] | None = None) -> npt.NDArray[np.int64]:
    """`n` words of 64 bits: integers and addresses as they are, doubles by their bits, the rest zero."""
    words = np.zeros(n, np.int64)
    for index, integer in integers.items():
        words[index] = integer
    for index, double in (doubles or {}).items():
        words[index : index + 1].view(np.float64)[0] = double
    return words


def angle_arguments(
    positions: npt.NDArray[np.int32], rope: Rope, out: int, amplitude: float | None = None
) -> npt.NDArray[np.int64]:
    """The words of `rope_angles`; the rope's own amplitude unless another is given."""
    integers = {0: positions.ctypes.data, 1: rope.n_pairs, 2: out, 3: rope.factors.ctypes.data}
    doubles = {
        4: rope.theta_scale,
        5: rope.frequency_scale,
        6: rope.extrapolation,
        7: rope.amplitude if amplitude is None else amplitude,
        8: rope.ramp[0],
        9: rope.ramp[1],
    }
    return arguments(kernels.N_ARGUMENTS, integers, doubles)


def rotate_arguments(
    x: int, n_heads: int, head_size: int, angles: int, rope: Rope | SectionRope
) -> npt.NDArray[np.int64]:
    """The words of `rope_rotate` for tokens of `n_heads` heads that follow each other."""
    integers = {
        0: x,
        1: n_heads,
        2: head_size,
        3: rope.n_pairs,
        4: angles,
        5: rope.n_pairs if rope.halves else 1,
        6: 1 if rope.halves else 2,
        7: n_heads * head_size,
    }
    return arguments(kernels.N_ARGUMENTS, integers)
