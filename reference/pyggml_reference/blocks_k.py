"""What the blocks of the K formats and of IQ4_XS hold, in plain NumPy: levels and integer scales of their groups.

Functions take structured arrays (n_rows, n_blocks) and give levels (n_rows, n_blocks, 256), and scales and minimums
(n_rows, n_blocks, n_groups).
"""

import numpy as np

from pyggml_reference.blocks import IQ4_LEVELS, Blocks, Integers, fields, planes

Q2_K = np.dtype([("scales", "u1", 16), ("qs", "u1", 64), ("d", "<f2"), ("dmin", "<f2")])
Q3_K = np.dtype([("hmask", "u1", 32), ("qs", "u1", 64), ("scales", "u1", 12), ("d", "<f2")])
Q4_K = np.dtype([("d", "<f2"), ("dmin", "<f2"), ("scales", "u1", 12), ("qs", "u1", 128)])
Q5_K = np.dtype([("d", "<f2"), ("dmin", "<f2"), ("scales", "u1", 12), ("qh", "u1", 32), ("qs", "u1", 128)])
Q6_K = np.dtype([("ql", "u1", 128), ("qh", "u1", 64), ("scales", "i1", 16), ("d", "<f2")])
IQ4_XS = np.dtype([("d", "<f2"), ("scales_h", "<u2"), ("scales_l", "u1", 4), ("qs", "u1", 128)])


def _split(w: Blocks, name: str, n_parts: int, width: int) -> Integers:
    """The planes of each part of a field's bytes, one part behind the other."""
    return planes(w[name].reshape(*w.shape, n_parts, -1), width).reshape(*w.shape, -1)


def q2_k(w: Blocks) -> tuple[Integers, Integers, Integers]:
    """Levels 0 to 3, scales and minimums of 16 weights."""
    return _split(w, "qs", 2, 2), w["scales"].astype(np.int64) & 15, w["scales"].astype(np.int64) >> 4


def q3_k(w: Blocks) -> tuple[Integers, Integers]:
    """Levels -4 to 3, scales of 16 weights."""
    low = planes(w["scales"][..., :8], 4)
    high = planes(w["scales"][..., 8:], 2)
    return _split(w, "qs", 2, 2) + 4 * planes(w["hmask"], 1) - 4, (low | high << 4) - 32


def _six_bits(w: Blocks) -> tuple[Integers, Integers]:
    """Eight scales and eight minimums of 6 bits: those of the last four are spread over all bytes."""
    first, second, third = (w["scales"][..., i : i + 4].astype(np.int64) for i in (0, 4, 8))
    scales = np.concatenate([first & 63, third & 15 | first >> 6 << 4], axis=-1)
    return scales, np.concatenate([second & 63, third >> 4 | second >> 6 << 4], axis=-1)


def q4_k(w: Blocks) -> tuple[Integers, Integers, Integers]:
    """Levels 0 to 15, scales and minimums of 32 weights."""
    return _split(w, "qs", 4, 4), *_six_bits(w)


def q5_k(w: Blocks) -> tuple[Integers, Integers, Integers]:
    """Levels 0 to 31, scales and minimums of 32 weights."""
    return _split(w, "qs", 4, 4) | planes(w["qh"], 1) << 4, *_six_bits(w)


def q6_k(w: Blocks) -> tuple[Integers, Integers]:
    """Levels -32 to 31, scales of 16 weights."""
    return (_split(w, "ql", 2, 4) | _split(w, "qh", 2, 2) << 4) - 32, w["scales"].astype(np.int64)


def iq4_xs(w: Blocks) -> tuple[Integers, Integers]:
    """Levels of a table, scales of 32 weights."""
    low = fields(w["scales_l"], 4, 2).reshape(*w.shape, 8)
    return IQ4_LEVELS[_split(w, "qs", 8, 4)], (low | fields(w["scales_h"], 2, 8) << 4) - 32
