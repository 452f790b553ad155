"""How weights lie in a GPU's memory, and the form that activations take to be multiplied with them."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from pyggml_kernels.formats import FloatFormat, Format, LevelFormat

#: Columns of a tile of weights, and what rows of levels are padded to.
TILE_COLUMNS = 256
#: Rows of a tile.
TILE_ROWS = 16


@dataclass(frozen=True)
class Strides:
    """How rows in a form lie: from levels to the next in bytes, from scales to the next in floats, from sums in bytes;
    and the bytes of all levels, scales and sums."""

    level_stride: int
    scale_stride: int
    sum_stride: int
    level_bytes: int
    scale_bytes: int
    sum_bytes: int


@dataclass(frozen=True)
class Form:
    """A form of activations, row by row: see src/forms.cuh."""

    expression: str
    column_bytes: int
    """Bytes of a column: 1 for levels."""
    quantized: bool
    sum_bytes: int = 0
    """Bytes of the sums of 256 columns."""

    def strides(self, n_rows: int, n_columns: int) -> Strides:
        """Of rows one after the other."""
        if not self.quantized:
            stride = self.column_bytes * n_columns
            return Strides(stride, 0, 0, n_rows * stride, 0, 0)
        n_tiles = -(-n_columns // TILE_COLUMNS)
        each = self.column_bytes * n_tiles * TILE_COLUMNS, n_tiles * TILE_COLUMNS // 32, n_tiles * self.sum_bytes
        return Strides(*each, n_rows * each[0], 4 * n_rows * each[1], n_rows * each[2])


@dataclass(frozen=True)
class WideForm:
    """The form that warpgroups multiply: levels as halves, in runs of 64 columns of all rows (src/forms.cuh)."""

    group_size: int

    @property
    def expression(self) -> str:
        """Its name in the sources."""
        return f"HalfLevels<{self.group_size}>"

    def strides(self, n_rows: int, n_columns: int) -> Strides:
        """From run to run, and from 256 columns to the next; rows are padded to what a block takes."""
        n_padded, n_tiles = self.padded_rows(n_rows), -(-n_columns // TILE_COLUMNS)
        run, scales, sums = 128 * n_padded, n_padded, 32 * n_padded
        return Strides(run, scales, sums, 4 * n_tiles * run, 4 * n_tiles * scales, n_tiles * sums)

    @staticmethod
    def padded_rows(n_rows: int) -> int:
        """The rows that there is room for."""
        multiple = 64 if n_rows <= 64 else 128
        return -(-n_rows // multiple) * multiple


FLOATS = Form("Floats", 4, quantized=False)
HALVES = Form("Rounded<false>", 2, quantized=False)
BFLOATS = Form("Rounded<true>", 2, quantized=False)


def quantized_form(block: str, sums: str, group_size: int) -> Form:
    """Levels of blocks as in Q8_0, Q8_1 or Q8_K, with `sums` of groups: NONE, WHOLE numbers or FLOATS."""
    sum_bytes = {"NONE": 0, "WHOLE": 2, "FLOATS": 4}[sums] * TILE_COLUMNS // group_size
    return Form(f"Quantized<Block::{block}, Sums::{sums}, {group_size}>", 1, quantized=True, sum_bytes=sum_bytes)


@dataclass(frozen=True)
class TileFormat:
    """Weights in tiles of 16 rows and 256 columns: see src/planes.cuh."""

    expression: str
    header: str
    tile_bytes: int
    form: Form
    n_warps: int = 16
    """Warps of the kernel for one token that a multiprocessor has registers for."""
    wide_form: WideForm | None = None
    """What its products by warpgroups take; None if it has none."""
    packed_on_device: bool = True
    """Whether `pack.cu` makes tiles of a file's blocks; otherwise `layout.decoded_tiles` does."""


@dataclass(frozen=True)
class RowFormat:
    """Weights in rows of numbers, as in a file."""

    expression: str
    number_bytes: int
    form: Form


_WIDE_32, _WIDE_16 = WideForm(32), WideForm(16)
_K_32, _K_16 = quantized_form("Q8_K", "WHOLE", 32), quantized_form("Q8_K", "WHOLE", 16)
_BLOCKS_OF_32 = quantized_form("Q8_0", "NONE", 32)


def _tiles(
    name: str, header: str, block_bytes: int, block_size: int, form: Form, n_warps: int, wide: WideForm | None = None
) -> tuple[str, TileFormat]:
    n_bytes = TILE_ROWS * TILE_COLUMNS // block_size * block_bytes
    return name, TileFormat(name, f"formats/{header}.cuh", n_bytes, form, n_warps, wide)


# Q3_K and Q6_K have no minimums, but often share their activations with formats that have.
_TILE_FORMATS: Mapping[str, TileFormat] = MappingProxyType(
    dict(
        (
            _tiles("Q2_K", "q2_k", 84, 256, _K_16, 24, _WIDE_16),
            _tiles("Q3_K", "q3_k", 110, 256, _K_32, 24, _WIDE_32),
            _tiles("Q4_K", "q4_k", 144, 256, _K_32, 20, _WIDE_32),
            _tiles("Q5_K", "q5_k", 176, 256, _K_32, 18, _WIDE_32),
            _tiles("Q6_K", "q6_k", 210, 256, _K_32, 16, _WIDE_32),
            _tiles("Q4_0", "half_scaled", 18, 32, _BLOCKS_OF_32, 20),
            _tiles("Q5_0", "half_scaled", 22, 32, _BLOCKS_OF_32, 18),
            _tiles("Q8_0", "half_scaled", 34, 32, _BLOCKS_OF_32, 16),
        )
    )
)
_ROW_FORMATS: Mapping[str, RowFormat] = MappingProxyType(
    {"F32": RowFormat("Float", 4, FLOATS), "F16": RowFormat("Half", 2, HALVES), "BF16": RowFormat("Bfloat", 2, BFLOATS)}
)


def device_format(form: Format) -> TileFormat | RowFormat:
    """The layout of a format's weights on the device; formats without one of their own are decoded to bytes."""
    if form.name in _TILE_FORMATS:
        return _TILE_FORMATS[form.name]
    if isinstance(form, FloatFormat):
        return _ROW_FORMATS[form.name]
    if isinstance(form, LevelFormat):
        return _decoded(form)
    raise TypeError(f"weights in {form.name} have no layout on a GPU")


def _decoded(form: LevelFormat) -> TileFormat:
    n_floats = (2 if form.has_minimum else 1) * TILE_COLUMNS // form.group_size
    sums = "FLOATS" if form.has_minimum else "NONE"
    return TileFormat(
        f"Decoded<{form.group_size}, {str(form.has_minimum).lower()}>",
        "formats/decoded.cuh",
        TILE_ROWS * (TILE_COLUMNS + 4 * n_floats),
        quantized_form(form.activation, sums, form.group_size),
        packed_on_device=False,
    )
