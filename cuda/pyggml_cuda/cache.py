"""The paged cache as kernels see it: formats, and where rows lie."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from pyggml_cuda.launch import INT, LONG, POINTER, structure

ROWS = structure({"data": POINTER, "page_bytes": LONG, "row_bytes": INT, "page_size": INT})
TABLE = structure({"pages": POINTER, "positions": POINTER, "sequences": POINTER, "stride": INT})


@dataclass(frozen=True)
class CacheFormat:
    """A format of rows of keys or values."""

    expression: str
    """The structure in src/cache_formats.cuh"""
    block_size: int
    block_bytes: int
    tile_halves: int
    """Halves that a number becomes when it is computed with"""

    def row_bytes(self, size: int) -> int:
        """Bytes of a row of `size` numbers."""
        return size // self.block_size * self.block_bytes


#: By the name that options use.
CACHE_FORMATS: Mapping[str, CacheFormat] = MappingProxyType(
    {"f16": CacheFormat("CacheHalf", 1, 2, 1), "bf16": CacheFormat("CacheBfloat", 1, 2, 1)}
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
