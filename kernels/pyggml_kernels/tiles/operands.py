"""What a product of a tile and a few tokens reads, as kernels hand it on: addresses, and bytes from one to the next."""

from typing import NamedTuple


class Tile(NamedTuple):
    """16 rows of weights, as levels and scales (see `tiles.layout`)."""

    levels: int
    level_stride: int
    """Bytes from a block's levels to the next block's."""
    scales: int
    scale_stride: int
    n_columns: int
    offset: int
    """What the levels in memory are larger than they stand for."""


class Tokens(NamedTuple):
    """Quantized activations (see `activations`); a stride is from one token to the next."""

    levels: int
    level_stride: int
    scales: int
    scale_stride: int
    scale_columns: int
    """Columns that share a scale."""
    sums: int
    sum_stride: int
    shifts: int
    shift_stride: int
