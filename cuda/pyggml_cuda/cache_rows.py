"""Rows of the cache that are read and written a few at a time: by NumPy, or by CuPy in its place."""

import math
from typing import Any

import numpy as np
import numpy.typing as npt

_BLOCK, _BLOCK_BYTES = 32, 34


def turned(library: Any, rows: Any, name: str, rotation: int, angles: npt.NDArray[np.float32], halves: bool) -> Any:
    """Rows (..., row_bytes) of keys in a format, turned by angles (2, n_pairs) of cosines and sines.

    `library` is the module that the rows are of. With a `rotation` they are turned between two Hadamard transforms.
    """
    x = hadamard(library, to_floats(library, rows, name), rotation)
    cosines, sines = library.asarray(angles)
    n_pairs = len(cosines)
    first = np.s_[..., :n_pairs] if halves else np.s_[..., : 2 * n_pairs : 2]
    second = np.s_[..., n_pairs : 2 * n_pairs] if halves else np.s_[..., 1 : 2 * n_pairs : 2]
    a, b = x[first].copy(), x[second].copy()
    x[first] = a * cosines - b * sines
    x[second] = a * sines + b * cosines
    return from_floats(library, hadamard(library, x, rotation), name)


def hadamard(library: Any, x: Any, size: int) -> Any:
    """Floats with runs of `size` of them transformed, as in pyggml_kernels/hadamard.py; 0: as they are."""
    if not size:
        return x
    width = 1
    while width < size:
        pairs = x.reshape(*x.shape[:-1], -1, 2, width)
        first, second = pairs[..., 0, :], pairs[..., 1, :]
        x = library.stack([first + second, first - second], axis=-2).reshape(x.shape)
        width *= 2
    return x * (np.float32(1) / np.float32(math.sqrt(size)))


def to_floats(library: Any, rows: Any, name: str) -> Any:
    """What rows of bytes stand for."""
    rows = library.ascontiguousarray(rows)
    if name == "f32":
        return rows.view(np.float32)
    if name == "f16":
        return rows.view(np.float16).astype(np.float32)
    if name == "bf16":
        return (rows.view(np.uint16).astype(np.uint32) << 16).view(np.float32)
    blocks = rows.reshape(*rows.shape[:-1], -1, _BLOCK_BYTES)
    scales = library.ascontiguousarray(blocks[..., :2]).view(np.float16).astype(np.float32)
    levels = library.ascontiguousarray(blocks[..., 2:]).view(np.int8).astype(np.float32)
    return (levels * scales).reshape(*rows.shape[:-1], -1)


def from_floats(library: Any, x: Any, name: str) -> Any:
    """Rows of bytes for floats; the reverse of `to_floats`, and what kernels write."""
    if name == "f32":
        return library.ascontiguousarray(x).view(np.uint8)
    if name == "f16":
        return x.astype(np.float16).view(np.uint8)
    if name == "bf16":
        bits = library.ascontiguousarray(x).view(np.uint32)
        return ((bits + (0x7FFF + (bits >> 16 & 1))) >> 16).astype(np.uint16).view(np.uint8)
    blocks = x.reshape(*x.shape[:-1], -1, _BLOCK)
    largest = abs(blocks).max(axis=-1, keepdims=True)
    with np.errstate(divide="ignore", over="ignore"):
        inverse = np.float32(127) / largest
    # The inverse of a tiny block overflows; its scale is 0 as a half, so its levels are of no account.
    inverse[library.isinf(inverse)] = 0
    levels = library.rint(blocks * inverse).astype(np.int8).view(np.uint8)
    scales = (largest / np.float32(127)).astype(np.float16).view(np.uint8)
    return library.concatenate([scales, levels], axis=-1).reshape(*x.shape[:-1], -1)
