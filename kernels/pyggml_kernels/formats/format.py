"""What a block format is: the two kinds, float rows and blocks of integer levels."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pyggml_kernels.formats.dequantize import dequantize_levels
from pyggml_kernels.jit import Kernel


@dataclass(frozen=True)
class Format(ABC):
    """How weights are laid out in bytes, in blocks that follow each other along a row."""

    name: str
    """As ggml spells it, for example `Q4_K`."""
    type_id: int
    """The number in a GGUF file (ggml's `enum ggml_type`)."""
    layout: np.dtype[np.void]
    """One block, field by field."""
    block_size: int
    """Weights in a block."""
    activation: str
    """The format that ggml gives the other operand of a matrix product with these weights (its `vec_dot_type`)."""

    @property
    def block_bytes(self) -> int:
        """Bytes in a block."""
        return self.layout.itemsize

    def row_bytes(self, n_weights: int) -> int:
        """Bytes in a row of `n_weights`; ValueError if that is no whole number of blocks."""
        if n_weights % self.block_size:
            raise ValueError(
                f"a row of {n_weights} weights is no multiple of the {self.block_size} in a {self.name} block"
            )
        return n_weights // self.block_size * self.block_bytes

    def dequantize(self, data: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """The weights of whole blocks, every bit as ggml's `to_float` gives them; ValueError for a part of a block."""
        source = np.ascontiguousarray(data).view(np.uint8).reshape(-1)
        n_blocks, rest = divmod(source.size, self.block_bytes)
        if rest:
            raise ValueError(
                f"{source.size} bytes are no whole number of {self.name} blocks of {self.block_bytes} bytes"
            )
        out = np.empty(n_blocks * self.block_size, np.float32)
        self._dequantize(source.ctypes.data, n_blocks, out.ctypes.data)
        return out

    @abstractmethod
    def _dequantize(self, source: int, n_blocks: int, out: int) -> None:
        """Decode `n_blocks` at address `source` to floats at address `out`."""


@dataclass(frozen=True)
class FloatFormat(Format):
    """One number a weight: F32, F16, BF16."""

    load: Kernel
    """`(source, n, out)`: n numbers to floats."""
    store: Kernel
    """`(source, n, out)`: n floats to numbers of this format, rounded to nearest even."""

    def _dequantize(self, source: int, n_blocks: int, out: int) -> None:
        self.load(source, n_blocks, out)


@dataclass(frozen=True)
class LevelFormat(Format):
    """Integer levels with a scale, and maybe a minimum, for each group of weights.

    A weight is `scale * level - minimum`, in float32 and in this order: that is bit for bit what ggml computes for each
    of these formats. Integer matrix products work on the levels, so every format shares one kernel.
    """

    group_size: int
    """Weights that share a scale and a minimum."""
    has_minimum: bool
    """Whether minimums can differ from zero."""
    decode: Kernel
    """`(source, n_blocks, levels, scales, minimums)`: int8 levels, one float32 scale and minimum a group."""

    def _dequantize(self, source: int, n_blocks: int, out: int) -> None:
        dequantize_levels(
            self.decode.address, source, n_blocks, self.block_size, self.group_size, self.block_bytes, out
        )
