"""How a tile, 16 rows of a quantized matrix, lies in memory: block after block, each its levels and then its scales.

A block is 32 columns with float scales, 256 with integer ones. Levels are those of `simd.levels`, 32 columns after 32
columns. Scales are

- of floats: 16 halves, one a row, then 16 for the minimums if there are any;
- of integers: the scales of the groups as bytes, two groups together, row after row (32 bytes for two groups), then the
  minimums likewise, then the 16 halves that all scales of a row, and 16 that all minimums of it, are multiplied with.
  Scales and minimums of 4 bits share bytes, scales in the low halves.

A row of the matrix that is not there is all zeros. All of a tile is read in the order in which it lies in memory: with
levels and scales apart, a core reads at half the speed.
"""

from dataclasses import dataclass

from pyggml_kernels.simd.levels import PART_COLUMNS, part_bytes
from pyggml_kernels.simd.vector import TILE_ROWS

#: Columns whose integer scales share one half.
INTEGER_BLOCK = 256
#: Bytes of 16 halves.
HALVES_BYTES = 2 * TILE_ROWS


@dataclass(frozen=True)
class TileLayout:
    """What the code of a product with tiles depends on."""

    n_bits: int
    """Bits of a level in memory: 2, 3, 4, 5, 6 or 8."""
    group_size: int
    """Columns that share a scale: 32, or with integer scales 16."""
    integer_scales: bool
    has_minimum: bool
    table: tuple[int, ...] = ()
    """What 4-bit levels stand for, from 0 on; empty if they stand for themselves."""
    shared_bytes: bool = False
    """Whether integer scales and minimums have 4 bits and share bytes."""

    @property
    def name(self) -> str:
        """A name in which all that matters is written down."""
        return "_".join(
            [
                f"{self.n_bits}_bits_{self.group_size}",
                "integers" if self.integer_scales else "floats",
                *["minimum"] * self.has_minimum,
                *["shared"] * self.shared_bytes,
                *["_".join(map(str, self.table))] * bool(self.table),
            ]
        )

    @property
    def block_columns(self) -> int:
        """Columns of a block."""
        return INTEGER_BLOCK if self.integer_scales else PART_COLUMNS

    @property
    def level_bytes(self) -> int:
        """Bytes of a block's levels."""
        return self.block_columns // PART_COLUMNS * part_bytes(self.n_bits)

    @property
    def group_bytes(self) -> int:
        """Bytes of a block's integer scales."""
        return INTEGER_BLOCK // self.group_size * TILE_ROWS if self.integer_scales else 0

    @property
    def minimum_bytes(self) -> int:
        """Bytes of a block's integer minimums, if they have bytes of their own."""
        return self.group_bytes if self.has_minimum and not self.shared_bytes else 0

    @property
    def block_bytes(self) -> int:
        """Bytes of a block of 16 rows."""
        return self.level_bytes + self.group_bytes + self.minimum_bytes + HALVES_BYTES * (1 + self.has_minimum)

    def tile_bytes(self, n_columns: int) -> int:
        """Bytes of a tile."""
        return n_columns // self.block_columns * self.block_bytes
