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
class Form:
    """A form of activations: see src/forms.cuh."""

    expression: str
    column_bytes: int
    """Bytes of a column: 1 for levels."""
    quantized: bool
    sum_bytes: int = 0
    """Bytes of the sums of 256 columns."""

    def level_stride(self, n_columns: int) -> int:
        """Bytes of a row of levels, or of floats."""
        return self.column_bytes * (self._padded(n_columns) if self.quantized else n_columns)

    def scale_stride(self, n_columns: int) -> int:
        """Floats of a row of scales."""
        return self._padded(n_columns) // 32 if self.quantized else 0

    def sum_stride(self, n_columns: int) -> int:
        """Bytes of a row of sums."""
        return self._padded(n_columns) // TILE_COLUMNS * self.sum_bytes

    @staticmethod
    def _padded(n_columns: int) -> int:
        return -(-n_columns // TILE_COLUMNS) * TILE_COLUMNS


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
    packed_on_device: bool = True
    """Whether `pack.cu` makes tiles of a file's blocks; otherwise `layout.decoded_tiles` does."""


@dataclass(frozen=True)
class RowFormat:
    """Weights in rows of numbers, as in a file."""

    expression: str
    number_bytes: int
    form: Form


_K_32, _K_16 = quantized_form("Q8_K", "WHOLE", 32), quantized_form("Q8_K", "WHOLE", 16)
_BLOCKS_OF_32 = quantized_form("Q8_0", "NONE", 32)


def _tiles(
    name: str, header: str, block_bytes: int, block_size: int, form: Form, n_warps: int
) -> tuple[str, TileFormat]:
    n_bytes = TILE_ROWS * TILE_COLUMNS // block_size * block_bytes
    return name, TileFormat(name, f"formats/{header}.cuh", n_bytes, form, n_warps)


# Q3_K and Q6_K have no minimums, but often share their activations with formats that have.
_TILE_FORMATS: Mapping[str, TileFormat] = MappingProxyType(
    dict(
        (
            _tiles("Q2_K", "q2_k", 84, 256, _K_16, 24),
            _tiles("Q3_K", "q3_k", 110, 256, _K_32, 24),
            _tiles("Q4_K", "q4_k", 144, 256, _K_32, 20),
            _tiles("Q5_K", "q5_k", 176, 256, _K_32, 18),
            _tiles("Q6_K", "q6_k", 210, 256, _K_32, 16),
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
