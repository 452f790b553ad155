"""The paged cache as kernels see it: formats, and where rows lie."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from pyggml_cuda.launch import INT, LONG, POINTER, structure

ROWS = structure({"data": POINTER, "page_bytes": LONG, "row_bytes": INT, "page_size": INT})
TABLE = structure({"pages": POINTER, "positions": POINTER, "sequences": POINTER, "stride": INT})
# Halves behind each row in shared memory, as in src/position_tiles.cuh.
_PADDING = 8


@dataclass(frozen=True)
class CacheFormat:
    """A format of rows of keys or values."""

    expression: str
    """The structure in src/cache_formats.cuh"""
    block_size: int
    block_bytes: int
    n_decoded: int
    """Halves that a number is decoded to before it is computed with; 0: it is one"""

    def row_bytes(self, size: int) -> int:
        """Bytes of a row of `size` numbers."""
        return size // self.block_size * self.block_bytes

    def copy_bytes(self, size: int) -> int:
        """Bytes of shared memory that a row of `size` numbers is copied to."""
        return self.row_bytes(size) if self.n_decoded else 2 * (size + _PADDING)

    def decoded_bytes(self, size: int) -> int:
        """Bytes of shared memory that it is decoded to."""
        return 2 * self.n_decoded * (size + _PADDING)


#: By the name that options use.
CACHE_FORMATS: Mapping[str, CacheFormat] = MappingProxyType(
    {
        "f32": CacheFormat("CacheFloat", 1, 4, 2),
        "f16": CacheFormat("CacheHalf", 1, 2, 0),
        "bf16": CacheFormat("CacheBfloat", 1, 2, 1),
        "q8_0": CacheFormat("CacheQ8_0", 32, 34, 2),
    }
)


@dataclass(frozen=True)
class CacheRows:
    """One layer's keys, or values, in a format."""

    format: str
    data: int
    page_bytes: int
    row_bytes: int
    page_size: int

    def fields(self) -> tuple[Any, ...]:
        """The fields of the structure."""
        return (self.data, self.page_bytes, self.row_bytes, self.page_size)

    @property
    def kind(self) -> CacheFormat:
        """The format itself."""
        return CACHE_FORMATS[self.format]


@dataclass(frozen=True)
class PageTable:
    """Addresses of the batch's positions, sequences and pages."""

    pages: int
    positions: int
    sequences: int
    stride: int

    def fields(self) -> tuple[Any, ...]:
        """The fields of the structure."""
        return (self.pages, self.positions, self.sequences, self.stride)
