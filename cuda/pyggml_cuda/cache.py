"""The paged cache as kernels see it: formats, and where rows lie."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from pyggml_cuda.launch import INT, LONG, POINTER, structure

ROWS = structure({"data": POINTER, "page_bytes": LONG, "row_bytes": INT, "page_size": INT})
TABLE = structure({"pages": POINTER, "positions": POINTER, "sequences": POINTER, "stride": INT})

#: The structure in src/cache_formats.cuh and the bytes of a number, by the name that options use.
CACHE_FORMATS: Mapping[str, tuple[str, int]] = MappingProxyType({"f16": ("CacheHalf", 2), "bf16": ("CacheBfloat", 2)})


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
    def expression(self) -> str:
        """The format's name in C++."""
        return CACHE_FORMATS[self.format][0]


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
