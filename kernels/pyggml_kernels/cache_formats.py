"""The formats that keys and values can be kept in: each turns a row of floats into bytes and back."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from pyggml_kernels.activations import quantize_32
from pyggml_kernels.formats import BF16, F16, F32, Q8_0
from pyggml_kernels.formats.format import Format
from pyggml_kernels.formats.q8_0 import BLOCK_BYTES
from pyggml_kernels.jit import Kernel, kernel
from pyggml_kernels.memory import f32, float_to_half, half_to_float, i8, u16


@kernel
def load_q8_0(source: int, n: int, out: int) -> None:
    """Blocks of Q8_0 to n floats."""
    floats = f32(out, n)
    for block in range(n // 32):
        d = half_to_float(u16(source + block * BLOCK_BYTES, 1)[0])
        levels = i8(source + block * BLOCK_BYTES + 2, 32)
        for i in range(32):
            floats[block * 32 + i] = np.float32(levels[i]) * d


@kernel
def store_q8_0(source: int, n: int, out: int) -> None:
    """n floats to blocks of Q8_0, as activations are quantized."""
    n_blocks = n // 32
    for block in range(n_blocks):
        address = out + block * BLOCK_BYTES
        d = quantize_32(f32(source + block * 128, 32), i8(address + 2, 32), n // n_blocks)
        u16(address, 1)[0] = float_to_half(d)


@dataclass(frozen=True)
class CacheFormat:
    """A format of rows of keys or values."""

    format: Format
    load: Kernel
    """`(source, n, out)`: n numbers to floats."""
    store: Kernel
    """`(source, n, out)`: n floats to numbers."""

    rounds_queries: bool
    """Whether ggml gives queries this precision before it multiplies them with keys, in every batch."""

    @property
    def quantized(self) -> bool:
        """Whether it keeps levels instead of floats."""
        return self.format.block_size > 1

    def row_bytes(self, n: int) -> int:
        """Bytes of a row; ValueError if n is no whole number of blocks."""
        return self.format.row_bytes(n)


#: By the name that options use.
CACHE_FORMATS: Mapping[str, CacheFormat] = MappingProxyType(
    {
        "f32": CacheFormat(F32, F32.load, F32.store, rounds_queries=False),
        "f16": CacheFormat(F16, F16.load, F16.store, rounds_queries=False),
        "bf16": CacheFormat(BF16, BF16.load, BF16.store, rounds_queries=True),
        "q8_0": CacheFormat(Q8_0, load_q8_0, store_q8_0, rounds_queries=True),
    }
)
