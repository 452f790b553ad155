"""What the blocks of the formats with code books hold, in plain NumPy: levels and odd integer scales of their groups.

Functions take structured arrays (n_rows, n_blocks) and give levels (n_rows, n_blocks, 256) and scales
(n_rows, n_blocks, n_groups). The books are those of gguf-py.
"""

from functools import cache
from typing import Any

import numpy as np
from gguf import quants

from pyggml_reference.blocks import Blocks, Floats, Integers, bits, fields, halves

IQ1_S = np.dtype([("d", "<f2"), ("qs", "u1", 32), ("qh", "<u2", 8)])
IQ1_M = np.dtype([("qs", "u1", 32), ("qh", "u1", 16), ("scales", "<u2", 4)])
IQ2_XXS = np.dtype([("d", "<f2"), ("qs", "<u4", (8, 2))])
IQ2_XS = np.dtype([("d", "<f2"), ("qs", "<u2", 32), ("scales", "u1", 8)])
IQ2_S = np.dtype([("d", "<f2"), ("qs", "u1", 32), ("signs", "u1", 32), ("qh", "u1", 8), ("scales", "u1", 8)])
IQ3_XXS = np.dtype([("d", "<f2"), ("qs", "u1", 64), ("gas", "<u4", 8)])
IQ3_S = np.dtype([("d", "<f2"), ("qs", "u1", 64), ("qh", "u1", 8), ("signs", "u1", 32), ("scales", "u1", 4)])


@cache
def _book(name: str) -> Integers:
    """The runs of a book (n_codes, run)."""
    form: Any = getattr(quants, name)
    form.init_grid()
    return np.asarray(form.grid[0, 0].astype(np.int64))


def _runs(name: str, codes: Integers) -> Integers:
    return _book(name)[codes].reshape(*codes.shape[:2], 256)


def _signs(minus: Integers) -> Integers:
    """1 where a bit is 0, -1 where it is 1."""
    return 1 - 2 * minus.reshape(*minus.shape[:2], 256)


def _even_signs(codes: Integers) -> Integers:
    """Seven signs, and an eighth that makes the number of minuses even."""
    seven = fields(codes, 1, 7)
    return _signs(np.concatenate([seven, seven.sum(axis=-1, keepdims=True) & 1], axis=-1))


def _odd(codes: Integers) -> Integers:
    return 2 * codes + 1


def _nibbles(w: Blocks, name: str) -> Integers:
    return fields(w[name], 4, 2).reshape(*w.shape, -1)


def iq2_xxs(w: Blocks) -> tuple[Integers, Integers]:
    """Scales of 32 weights."""
    codes, others = fields(w["qs"][..., 0], 8, 4), w["qs"][..., 1].astype(np.int64)
    return _runs("IQ2_XXS", codes) * _even_signs(fields(others, 7, 4)), _odd(others >> 28)


def iq2_xs(w: Blocks) -> tuple[Integers, Integers]:
    """Scales of 16 weights."""
    words = w["qs"].astype(np.int64)
    return _runs("IQ2_XS", words & 511) * _even_signs(words >> 9), _odd(_nibbles(w, "scales"))


def iq2_s(w: Blocks) -> tuple[Integers, Integers]:
    """Scales of 16 weights."""
    codes = w["qs"].astype(np.int64) | fields(w["qh"], 2, 4).reshape(*w.shape, 32) << 8
    return _runs("IQ2_S", codes) * _signs(bits(w["signs"])), _odd(_nibbles(w, "scales"))


def iq3_xxs(w: Blocks) -> tuple[Integers, Integers]:
    """Scales of 32 weights."""
    words = w["gas"].astype(np.int64)
    return _runs("IQ3_XXS", w["qs"].astype(np.int64)) * _even_signs(fields(words, 7, 4)), _odd(words >> 28)


def iq3_s(w: Blocks) -> tuple[Integers, Integers]:
    """Scales of 32 weights."""
    codes = w["qs"].astype(np.int64) | bits(w["qh"]) << 8
    return _runs("IQ3_S", codes) * _signs(bits(w["signs"])), _odd(_nibbles(w, "scales"))


def iq1_s(w: Blocks) -> tuple[Integers, Integers, Integers]:
    """Levels -1 to 1, scales of 32 weights, and the directions of shifts, 1 or -1, of 8 weights."""
    high = w["qh"].astype(np.int64)
    codes = w["qs"].astype(np.int64) | fields(high, 3, 4).reshape(*w.shape, 32) << 8
    return _runs("IQ1_S", codes), _odd(high >> 12 & 7), np.repeat(1 - 2 * (high >> 15), 4, axis=-1)


def iq1_m(w: Blocks) -> tuple[Integers, Integers, Integers]:
    """As `iq1_s`, scales of 16 weights."""
    high = _nibbles(w, "qh")
    codes = w["qs"].astype(np.int64) | (high & 7) << 8
    scales = fields(w["scales"], 3, 4).reshape(*w.shape, 16)
    return _runs("IQ1_S", codes), _odd(scales), 1 - 2 * (high >> 3)


def iq1_m_scales(w: Blocks) -> Floats:
    """The half that lies in the highest four bits of the words of scales."""
    code = (w["scales"].astype(np.int64) >> 12 << np.arange(4) * 4).sum(axis=-1)
    return halves(code.astype(np.uint16).view(np.float16))
