"""What the CUDA kernels compute, in NumPy: quantized activations number for number, the rest in float64."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True)
class QuantizedRows:
    """Levels (n, n_columns), a scale for each 32 columns, and a sum for each group, as a product uses them."""

    levels: npt.NDArray[np.int8]
    scales: Floats
    sums: Floats

    def dequantized(self) -> Doubles:
        """What the levels stand for."""
        return self.levels.astype(np.float64) * np.repeat(self.scales.astype(np.float64), 32, axis=-1)


def _through_half(x: Floats) -> Floats:
    return x.astype(np.float16).astype(np.float32)


def quantize(x: Floats, block: str, group_size: int) -> QuantizedRows:
    """Rows in blocks as in Q8_0, Q8_1 or Q8_K, by ggml's CPU backend; sums of groups: whole numbers for Q8_K, for Q8_1
    times the scale and rounded to halves."""
    size = 256 if block == "Q8_K" else 32
    blocks = x.reshape(len(x), -1, size)
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        if block == "Q8_K":
            places = np.abs(blocks).argmax(axis=-1, keepdims=True)
            inverse = np.float32(-127) / np.take_along_axis(blocks, places, -1)
            inverse[~np.isfinite(inverse)] = 0
            d = np.where(inverse == 0, np.float32(0), np.float32(1) / inverse)
        else:
            largest = np.abs(blocks).max(axis=-1, keepdims=True)
            inverse = np.float32(127) / largest
            inverse[~np.isfinite(inverse)] = 0
            d = largest / np.float32(127)
    levels = np.minimum(127, np.rint(blocks * inverse)).astype(np.int8)
    totals = levels.reshape(len(x), -1, group_size).sum(axis=-1, dtype=np.int32).astype(np.float32)
    scales = np.repeat(d[..., 0], size // 32, axis=-1)
    sums = _through_half(totals * d[..., 0]) if block == "Q8_1" else totals
    return QuantizedRows(levels.reshape(x.shape), scales if block == "Q8_K" else _through_half(scales), sums)


def wide_levels(
    rows: QuantizedRows, group_size: int, n_padded: int
) -> tuple[npt.NDArray[np.float16], Floats, npt.NDArray[np.float16]]:
    """Rows of levels as warpgroups want them (src/warpgroup.cuh), zeros below.

    Levels (run of 64 columns, eight rows, row, piece of 16 bytes, half), scales (256 columns, row), sums (256 columns,
    eight rows, row, piece, half)."""
    n_rows, n_columns = rows.levels.shape
    levels = np.zeros((n_padded, n_columns), np.float16)
    levels[:n_rows] = rows.levels
    # Of each 16 columns: lane of four, byte; the even bytes come first, then the odd ones.
    pieces = levels.reshape(n_padded, n_columns // 64, 4, 4, 2, 2).transpose(0, 1, 2, 5, 3, 4)
    runs = pieces.reshape(n_padded // 8, 8, n_columns // 64, 8, 8).transpose(2, 0, 1, 3, 4)
    scales = np.zeros((n_columns // 256, n_padded), np.float32)
    scales[:, :n_rows] = rows.scales[:, ::8].T
    totals = np.zeros((n_padded, n_columns // 256, 256 // group_size), np.int32)
    totals[:n_rows] = rows.sums.reshape(n_rows, n_columns // 256, -1)
    if group_size == 32:
        high = (totals + 32) >> 6
        totals = np.concatenate([totals - 64 * high, high], axis=-1)
    sums = totals.astype(np.float16).reshape(n_padded // 8, 8, n_columns // 256, 2, 8).transpose(2, 0, 1, 3, 4)
    return _swizzled(runs, 1), scales, _swizzled(sums, 4)


def _swizzled(pieces: npt.NDArray[np.float16], rows_alike: int) -> npt.NDArray[np.float16]:
    """Pieces (..., 8 rows, piece, half) with piece i of row n at i ^ n // rows_alike."""
    result = np.empty_like(pieces)
    for row in range(8):
        for piece in range(pieces.shape[-2]):
            result[..., row, piece ^ row // rows_alike, :] = pieces[..., row, piece, :]
    return result


def wide_rows(shape: tuple[int, ...], n_rows: int) -> npt.NDArray[np.bool_]:
    """Which numbers of an array (..., eight rows, row, piece, half) belong to the first rows."""
    own = np.arange(shape[1] * 8).reshape(1, shape[1], 8, 1, 1) < n_rows
    return np.broadcast_to(own, shape)


def rms_norm(x: Floats, weight: Floats, epsilon: float) -> Doubles:
    """Rows over the root of their mean square, times a weight."""
    exact = x.astype(np.float64)
    result: Doubles = exact / np.sqrt((exact**2).mean(axis=-1, keepdims=True) + epsilon) * weight
    return result


def swiglu(gate: Floats, up: Floats) -> Doubles:
    """silu(gate) * up."""
    exact = gate.astype(np.float64)
    result: Doubles = exact / (1 + np.exp(-exact)) * up
    return result


def layer_norm(x: Floats, weight: Floats, bias: Floats, epsilon: float) -> Doubles:
    """Rows brought to mean 0 and variance 1, times a weight, plus a bias."""
    exact = x.astype(np.float64)
    centred = exact - exact.mean(axis=-1, keepdims=True)
    result: Doubles = centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + epsilon) * weight + bias
    return result


def gelu(x: Floats, *, quick: bool) -> Doubles:
    """The Gaussian error linear unit by the approximation with tanh, or the quick one."""
    exact = x.astype(np.float64)
    twice = 1.702 * exact if quick else np.sqrt(8 / np.pi) * (exact + 0.044715 * exact**3)
    result: Doubles = exact / (1 + np.exp(-twice))
    return result


def section_angles(
    positions: npt.NDArray[np.int32], sections: Sequence[tuple[int, int, int]], theta_scale: float
) -> tuple[Doubles, Doubles]:
    """Cosines and sines (n, n_pairs) of positions (n, n_sections); of each section the first pair, the end, and the
    pair whose angle is the position."""
    angles = [
        place[:, None] * theta_scale ** np.arange(first - origin, end - origin)
        for place, (first, end, origin) in zip(positions.T.astype(np.float64), sections, strict=True)
    ]
    theta = np.concatenate(angles, axis=1)
    return np.cos(theta), np.sin(theta)


def patch_heads(x: Floats, angles: tuple[Doubles, Doubles] | None, scale: float = 1.0) -> npt.NDArray[np.float16]:
    """Queries, keys or values (n, n_heads, size) as attention over patches reads them: turned, as halves."""
    turned = x.astype(np.float64) if angles is None else turn(x, *angles, halves=True)
    return (turned * scale).astype(np.float32).astype(np.float16)


def attend_patches(queries: Doubles, keys: Doubles, values: Doubles, windows: npt.NDArray[np.int32]) -> Doubles:
    """Attention of patches (n, n_heads, size) to those of their window; queries have the scale, scores are powers of
    two. Returns (n, n_heads, size)."""
    scores = np.einsum("nhd,phd->hnp", queries, keys)
    scores[:, windows[:, None] != windows] = -np.inf
    weights = np.exp2(scores - scores.max(axis=-1, keepdims=True))
    weights /= weights.sum(axis=-1, keepdims=True)
    result: Doubles = np.einsum("hnp,phd->nhd", weights, values)
    return result


def turn(x: npt.NDArray[np.floating], cosines: Doubles, sines: Doubles, halves: bool) -> Doubles:
    """Heads (n, n_heads, size) with their pairs turned by angles (n, n_pairs)."""
    exact = x.astype(np.float64)
    n_pairs = cosines.shape[-1]
    first = np.s_[..., :n_pairs] if halves else np.s_[..., : 2 * n_pairs : 2]
    second = np.s_[..., n_pairs : 2 * n_pairs] if halves else np.s_[..., 1 : 2 * n_pairs : 2]
    c, s = cosines[:, None], sines[:, None]
    result = exact.copy()
    result[first] = exact[first] * c - exact[second] * s
    result[second] = exact[first] * s + exact[second] * c
    return result


def attend(queries: Doubles, keys: Doubles, values: Doubles, positions: npt.NDArray[np.int32], scale: float) -> Doubles:
    """Attention of one sequence's tokens (n, n_heads, size) at `positions` to its keys (n_positions, n_kv_heads, size).

    Returns (n, n_heads, value size).
    """
    group = queries.shape[1] // keys.shape[1]
    spread_keys, spread_values = (np.repeat(each, group, axis=1) for each in (keys, values))
    scores = np.einsum("nhd,phd->nhp", queries, spread_keys) * scale
    scores[np.broadcast_to(np.arange(len(keys)) > positions[:, None, None], scores.shape)] = -np.inf
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    weights /= weights.sum(axis=-1, keepdims=True)
    result: Doubles = np.einsum("nhp,phd->nhd", weights, spread_values)
    return result


_NUMBERS = {"f32": np.float32, "f16": np.float16}


def rotate(x: Doubles, size: int) -> Doubles:
    """Runs of `size` numbers times the normalized Walsh-Hadamard matrix; 0: as they are."""
    if not size:
        return x
    matrix = np.ones((1, 1))
    while len(matrix) < size:
        matrix = np.block([[matrix, matrix], [matrix, -matrix]])
    result: Doubles = (x.reshape(-1, size) @ matrix / np.sqrt(size)).reshape(x.shape)
    return result


def encode_rows(name: str, x: Floats) -> npt.NDArray[np.uint8]:
    """Rows of numbers as the cache keeps them in a format: bytes, in the last dimension."""
    if name == "q8_0":
        quantized = quantize(x.reshape(-1, x.shape[-1]), "Q8_0", 32)
        scales = quantized.scales.astype(np.float16).reshape(-1, 1).view(np.uint8)
        blocks = np.concatenate([scales, quantized.levels.reshape(-1, 32).view(np.uint8)], axis=-1)
        return blocks.reshape(*x.shape[:-1], -1)
    if name != "bf16":
        return x.astype(_NUMBERS[name]).view(np.uint8)
    bits = np.ascontiguousarray(x).view(np.uint32)
    return ((bits + (0x7FFF + (bits >> 16 & 1))) >> 16).astype(np.uint16).view(np.uint8)


def decode_rows(name: str, rows: npt.NDArray[np.uint8]) -> Floats:
    """What rows of a format stand for."""
    if name == "q8_0":
        blocks = rows.reshape(-1, 34)
        scales = np.ascontiguousarray(blocks[:, :2]).view(np.float16).astype(np.float32)
        levels = np.ascontiguousarray(blocks[:, 2:]).view(np.int8).astype(np.float32)
        return (levels * scales).reshape(*rows.shape[:-1], -1)
    if name != "bf16":
        return rows.view(_NUMBERS[name]).astype(np.float32)
    return (rows.view(np.uint16).astype(np.uint32) << 16).view(np.float32)


def round_queries(name: str, queries: Doubles) -> Doubles:
    """Queries as they meet keys in a format: ggml gives them that precision, but for f16."""
    if name in _NUMBERS:
        return queries
    return decode_rows(name, encode_rows(name, queries.astype(np.float32))).astype(np.float64)


def largest(x: Floats, n_kept: int) -> tuple[Floats, npt.NDArray[np.int32]]:
    """The largest of each row from the largest down, and their places, both (n_rows, n_kept).

    NaN comes first, -0 behind 0, equal numbers in the order of their places.
    """
    is_nan = np.isnan(x)
    numbers = np.where(is_nan, np.float32(0), x)
    places = np.broadcast_to(np.arange(x.shape[1], dtype=np.int32), x.shape)
    kept = np.lexsort((places, np.signbit(numbers), -numbers, ~is_nan))[:, :n_kept].astype(np.int32)
    return np.take_along_axis(x, kept, -1), kept
