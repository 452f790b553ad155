"""Matrix products in the order of ggml's generic C code (`ggml_vec_dot_*_generic`), bit for bit, in plain NumPy.

This is level 1 of the numerics contract. The wheel is compiled with contraction: wherever a product is added to
something, the two are one fused multiply-add. Which product of two is fused was read off the machine code: in Q4_1 and
Q5_1 that of the scales, in Q2_K that of the scales, too; Q4_0 alone rounds its sum times the weights' scale first.

Sums of products of integers are exact, so their order is of no account; below, `sums` is (n_units, n_tokens, n_rows).
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from pyggml_reference import blocks, blocks_iq, blocks_k
from pyggml_reference.blocks import Blocks, Bytes, Floats, Integers, halves
from pyggml_reference.fused import fused
from pyggml_reference.library import OracleError
from pyggml_reference.quants import vec_dot_type
from pyggml_reference.structures import TensorType

Product = Callable[[Blocks, Blocks], Floats]
_EIGHTH = np.float32(0.125)
#: Sums that ggml keeps apart in blocks with integer scales: of every eighth column.
_N_LANES = 8


def _sums(left: Integers, right: Integers) -> Floats:
    """The sums over a unit of (n_rows, n_units, n) and (n_tokens, n_units, n), as floats."""
    exact = left.transpose(1, 0, 2).astype(np.float64) @ right.transpose(1, 2, 0).astype(np.float64)
    return exact.transpose(0, 2, 1).astype(np.float32)


def _outer(w: Floats, x: Floats) -> Floats:
    """The products of the scales of units: (n_rows, n_units) and (n_tokens, n_units) to (n_units, n_tokens, n_rows)."""
    return x.T[:, :, None] * w.T[:, None, :]


def _levels(x: Blocks, size: int) -> Integers:
    """Activations in units of another size."""
    return x["qs"].reshape(len(x), -1, size).astype(np.int64)


def _scales(x: Blocks, size: int) -> Floats:
    """The scale of each of such units."""
    return np.repeat(x["d"].astype(np.float32), x["qs"].shape[-1] // size, axis=-1)


def _weighted(levels: Integers, scales: Integers) -> Integers:
    """Levels times the integer scales of their groups."""
    return levels * np.repeat(scales, levels.shape[-1] // scales.shape[-1], axis=-1)


def _accumulate(factors: Floats, sums: Floats) -> Floats:
    total = np.zeros(sums.shape[1:], np.float32)
    for factor, each in zip(factors, sums, strict=True):
        total = fused(factor, each, total)
    return total


# --- the orders -------------------------------------------------------------------------------------------------------


def _simple(
    unpack: Callable[[Blocks], Integers], scales: Callable[[Blocks], Floats] | None, size: int, w: Blocks, x: Blocks
) -> Floats:
    """total + (scale * scale of x) * sum, for each unit of `size` columns."""
    levels = unpack(w).reshape(len(w), -1, size)
    own = scales(w) if scales else halves(w["d"])
    return _accumulate(_outer(own.reshape(len(w), -1), _scales(x, size)), _sums(levels, _levels(x, size)))


def _sum_first(w: Blocks, x: Blocks) -> Floats:
    """Q4_0: total + (sum * scale) * scale of x."""
    sums = _sums(blocks.q4_0(w), _levels(x, 32))
    scaled = sums * halves(w["d"]).T[:, None, :]
    return _accumulate(scaled, np.broadcast_to(halves(x["d"]).T[:, :, None], scaled.shape))


def _nested(unpack: Callable[[Blocks], Integers], w: Blocks, x: Blocks) -> Floats:
    """total + scale * (the sum over the blocks of x of scale of x * sum)."""
    n_rows, n_blocks, size = unpack(w).shape
    sums = _sums(unpack(w).reshape(n_rows, -1, 32), _levels(x, 32)).reshape(n_blocks, size // 32, len(x), n_rows)
    factors = np.broadcast_to(halves(x["d"]).T.reshape(n_blocks, size // 32, len(x), 1), sums.shape)
    inner = np.stack([_accumulate(*each) for each in zip(factors, sums, strict=True)])
    return _accumulate(np.broadcast_to(halves(w["d"]).T[:, None, :], inner.shape), inner)


def _with_minimum(unpack: Callable[[Blocks], Integers], w: Blocks, x: Blocks) -> Floats:
    """total + ((scale * scale of x) * sum + minimum * scaled sum of x)."""
    sums = _sums(unpack(w), _levels(x, 32))
    terms = fused(_outer(halves(w["d"]), halves(x["d"])), sums, _outer(halves(w["m"]), halves(x["s"])))
    return _plain_sum(terms)


def _plain_sum(terms: Sequence[Floats] | Floats) -> Floats:
    total = np.zeros(terms[0].shape, np.float32)
    for each in terms:
        total = total + each
    return total


def _q2_k(w: Blocks, x: Blocks) -> Floats:
    """total + ((scale * scale of x) * sum - (minimum scale * scale of x) * sum of minimums)."""
    levels, scales, minimums = blocks_k.q2_k(w)
    sums = _sums(_weighted(levels, scales), _levels(x, 256))
    shifts = _outer(halves(w["dmin"]), x["d"]) * _sums(minimums, x["bsums"].astype(np.int64))
    return _plain_sum(fused(_outer(halves(w["d"]), x["d"]), sums, -shifts))


def _lanes(unpack: Callable[[Blocks], tuple[Integers, ...]], w: Blocks, x: Blocks) -> Floats:
    """Eight totals + (scale * scale of x) * sum; then a total of minus the minimums, and the eight added to it."""
    levels, scales, *minimums = unpack(w)
    weighted = _weighted(levels, scales).reshape(*w.shape, -1, _N_LANES)
    columns = _levels(x, 256).reshape(*x.shape, -1, _N_LANES)
    factors = _outer(halves(w["d"]), x["d"])
    total = np.zeros(factors.shape[1:], np.float32)
    if minimums:
        pairs = x["bsums"].astype(np.int64).reshape(*x.shape, 8, 2).sum(axis=-1)
        total = _accumulate(-_outer(halves(w["dmin"]), x["d"]), _sums(minimums[0], pairs))
    lanes = [_accumulate(factors, _sums(weighted[..., i], columns[..., i])) for i in range(_N_LANES)]
    return _plain_sum([total, *lanes])


def _book(unpack: Callable[[Blocks], tuple[Integers, Integers]], factor: float, w: Blocks, x: Blocks) -> Floats:
    """As `_simple` with integer scales, the result times a factor."""
    sums = _sums(_weighted(*unpack(w)), _levels(x, 256))
    return _accumulate(_outer(halves(w["d"]), x["d"]), sums) * np.float32(factor)


def _iq4_xs(w: Blocks, x: Blocks) -> Floats:
    """total + ((scale * scale of x) * integer scale) * sum, for each group."""
    levels, scales = blocks_k.iq4_xs(w)
    sums = _sums(levels.reshape(len(w), -1, 32), _levels(x, 32))
    both = _outer(np.repeat(halves(w["d"]), 8, axis=-1), _scales(x, 32))
    return _accumulate(both * scales.reshape(len(w), -1).T[:, None, :].astype(np.float32), sums)


def _shifted(
    unpack: Callable[[Blocks], tuple[Integers, Integers, Integers]],
    scales: Callable[[Blocks], Floats],
    w: Blocks,
    x: Blocks,
) -> Floats:
    """total + (scale * scale of x) * (sum + 1/8 * sum of the shifts)."""
    levels, integer_scales, directions = unpack(w)
    columns = _levels(x, 256)
    sums = _sums(_weighted(levels, integer_scales), columns)
    shifts = _sums(_weighted(np.repeat(directions, 8, axis=-1), integer_scales), columns)
    return _accumulate(_outer(scales(w), x["d"]), fused(np.full_like(shifts, _EIGHTH), shifts, sums))


def _d(w: Blocks) -> Floats:
    return halves(w["d"])


_DOTS: dict[TensorType, tuple[np.dtype[Any], Product]] = {
    TensorType.Q4_0: (blocks.Q4_0, _sum_first),
    TensorType.Q4_1: (blocks.Q4_1, partial(_with_minimum, blocks.q4_1)),
    TensorType.Q5_0: (blocks.Q5_0, partial(_simple, blocks.q5_0, None, 32)),
    TensorType.Q5_1: (blocks.Q5_1, partial(_with_minimum, blocks.q5_1)),
    TensorType.Q8_0: (blocks.Q8_0, partial(_simple, blocks.q8_0, None, 32)),
    TensorType.Q1_0: (blocks.Q1_0, partial(_nested, blocks.q1_0)),
    TensorType.Q2_0: (blocks.Q2_0, partial(_nested, blocks.q2_0)),
    TensorType.TQ1_0: (blocks.TQ1_0, partial(_simple, blocks.tq1_0, None, 256)),
    TensorType.TQ2_0: (blocks.TQ2_0, partial(_simple, blocks.tq2_0, None, 256)),
    TensorType.IQ4_NL: (blocks.Q4_0, partial(_simple, blocks.iq4_nl, None, 32)),
    TensorType.MXFP4: (blocks.MXFP4, partial(_simple, blocks.mxfp4, blocks.mxfp4_scales, 32)),
    TensorType.NVFP4: (blocks.NVFP4, partial(_simple, blocks.nvfp4, blocks.nvfp4_scales, 16)),
    TensorType.Q2_K: (blocks_k.Q2_K, _q2_k),
    TensorType.Q3_K: (blocks_k.Q3_K, partial(_lanes, blocks_k.q3_k)),
    TensorType.Q4_K: (blocks_k.Q4_K, partial(_lanes, blocks_k.q4_k)),
    TensorType.Q5_K: (blocks_k.Q5_K, partial(_lanes, blocks_k.q5_k)),
    TensorType.Q6_K: (blocks_k.Q6_K, partial(_lanes, blocks_k.q6_k)),
    TensorType.IQ4_XS: (blocks_k.IQ4_XS, _iq4_xs),
    TensorType.IQ2_XXS: (blocks_iq.IQ2_XXS, partial(_book, blocks_iq.iq2_xxs, 0.125)),
    TensorType.IQ2_XS: (blocks_iq.IQ2_XS, partial(_book, blocks_iq.iq2_xs, 0.125)),
    TensorType.IQ2_S: (blocks_iq.IQ2_S, partial(_book, blocks_iq.iq2_s, 0.125)),
    TensorType.IQ3_XXS: (blocks_iq.IQ3_XXS, partial(_book, blocks_iq.iq3_xxs, 0.25)),
    TensorType.IQ3_S: (blocks_iq.IQ3_S, partial(_book, blocks_iq.iq3_s, 1.0)),
    TensorType.IQ1_S: (blocks_iq.IQ1_S, partial(_shifted, blocks_iq.iq1_s, _d)),
    TensorType.IQ1_M: (blocks_iq.IQ1_M, partial(_shifted, blocks_iq.iq1_m, blocks_iq.iq1_m_scales)),
}

_ACTIVATIONS = {TensorType.Q8_0: blocks.Q8_0, TensorType.Q8_1: blocks.Q8_1, TensorType.Q8_K: blocks.Q8_K}

#: The types that have a dot product here: all block formats of weights.
BLOCK_TYPES = tuple(_DOTS)


def dot_products(type_id: int, weights: Bytes, activations: Bytes) -> Floats:
    """Multiply every row of weights with every row of activations: (n_tokens, n_rows).

    weights (n_rows, row_bytes): blocks of the type; activations (n_tokens, row_bytes): blocks of its `vec_dot_type`.
    Raises OracleError for a type that is not of blocks.
    """
    if type_id not in _DOTS:
        raise OracleError(f"{TensorType(type_id).name} has no dot product of blocks")
    layout, product = _DOTS[TensorType(type_id)]
    w = np.ascontiguousarray(weights).view(layout)
    x = np.ascontiguousarray(activations).view(_ACTIVATIONS[vec_dot_type(type_id)])
    # Scales may be infinite or no numbers, or overflow, as in ggml.
    with np.errstate(all="ignore"):
        return product(w, x)
