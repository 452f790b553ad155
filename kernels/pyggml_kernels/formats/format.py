"""What a block format is: the two kinds, float rows and blocks of integer levels."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pyggml_kernels.formats.dequantize import dequantize_levels
from pyggml_kernels.formats.quantize_floats import quantize_floats
from pyggml_kernels.jit import Kernel
from pyggml_kernels.plan import Operation, Plan
from pyggml_kernels.threads import WorkerPool
from pyggml_kernels.tiles.packing import Packing

#: Weights that are quantized in one chunk.
_WEIGHTS_PER_CHUNK = 65536


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

    def quantize(
        self,
        weights: npt.NDArray[np.float32],
        importance: npt.NDArray[np.float32] | None = None,
        pool: WorkerPool | None = None,
    ) -> npt.NDArray[np.uint8]:
        """Encode rows (n_rows, n_columns) of finite weights, every byte as ggml's `ggml_quantize_chunk` gives them.

        `importance` (n_columns,) says how much the error of each column counts; formats that cannot use it ignore it,
        as ggml does. Returns (n_rows, row_bytes). ValueError for weights that are not finite, for a row that is no
        whole number of blocks, and for a format that cannot be quantized to, or not without importance.
        """
        rows = np.ascontiguousarray(weights, np.float32)
        if rows.ndim != 2:
            raise ValueError(f"weights have {rows.ndim} dimensions; a matrix (n_rows, n_columns) is needed")
        if not np.isfinite(rows).all():
            row, column = np.argwhere(~np.isfinite(rows))[0]
            raise ValueError(
                f"the weight in row {row}, column {column} is {rows[row, column]}; only finite ones can be quantized"
            )
        columns = None if importance is None else np.ascontiguousarray(importance, np.float32)
        if columns is not None and columns.shape != rows.shape[1:]:
            raise ValueError(f"importance has shape {columns.shape}; there are {rows.shape[1]} columns")
        out = np.empty((len(rows), self.row_bytes(rows.shape[1])), np.uint8)
        per_chunk = max(1, _WEIGHTS_PER_CHUNK // max(1, rows.shape[1]))
        addresses = (rows.ctypes.data, len(rows), rows.shape[1], out.ctypes.data, out.shape[1])
        importance_address = 0 if columns is None else columns.ctypes.data
        words = np.array([*addresses, importance_address, per_chunk, self._extra_address()], np.int64)
        kernel = self._quantizer(columns is not None)
        n_chunks = -(-len(rows) // per_chunk)
        if pool is not None:
            pool.run(Plan([Operation(kernel, words, n_chunks)]))
        else:
            for chunk in range(n_chunks):
                kernel(words.ctypes.data, chunk, 0)
        return out

    @abstractmethod
    def _quantizer(self, with_importance: bool) -> Kernel:
        """The plan operation that quantizes; ValueError if there is none, or none without importance.

        Arguments: 0 weights f32 (n_rows, n_columns), 1 n_rows, 2 n_columns, 3 out, 4 bytes of a row of out,
        5 importance f32 (n_columns,) or 0, 6 rows in a chunk, 7 what else it needs: see `_extra_address`.
        """

    def _extra_address(self) -> int:
        """What a quantizer needs besides: `store` of a `FloatFormat`, the table of a `BookFormat`, else nothing."""
        return 0


@dataclass(frozen=True)
class FloatFormat(Format):
    """One number a weight: F32, F16, BF16."""

    load: Kernel
    """`(source, n, out)`: n numbers to floats."""
    store: Kernel
    """`(source, n, out)`: n floats to numbers of this format, rounded to nearest even."""

    def _dequantize(self, source: int, n_blocks: int, out: int) -> None:
        self.load(source, n_blocks, out)

    def _quantizer(self, with_importance: bool) -> Kernel:
        return quantize_floats

    def _extra_address(self) -> int:
        return self.store.address


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

    packing: Packing | None = None
    """How blocks become tiles that fast kernels read; without it they are decoded in every product."""
    quantizer: Kernel | None = None
    """The plan operation of `Format.quantize`; None for formats of activations only."""
    needs_importance: bool = False
    """Whether ggml refuses to quantize to this format without importance."""

    def _quantizer(self, with_importance: bool) -> Kernel:
        if self.quantizer is None:
            raise ValueError(f"weights cannot be quantized to {self.name}")
        if self.needs_importance and not with_importance:
            raise ValueError(f"{self.name} needs an importance matrix: without one its error is too large to be of use")
        return self.quantizer
