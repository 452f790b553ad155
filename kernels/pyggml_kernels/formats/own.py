"""A format of one's own: a block's layout and two Python functions, which are compiled when they are first used."""

import inspect
import re
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pyggml_kernels.formats.format import FloatFormat
from pyggml_kernels.formats.own_kernels import BlockFunction, own_kernels
from pyggml_kernels.formats.own_layout import checked_layout
from pyggml_kernels.jit import CompilationError, Kernel
from pyggml_kernels.private_types import MAX_BLOCK, check_private_name, private_type_id

#: Not a number, of bits that no computation gives: tells weights that were never written.
_UNWRITTEN = 0x7FC0DEAD
_MAX_MESSAGE = 700
_COLORS = re.compile("\x1b\\[[0-9;]*m")


@dataclass(frozen=True)
class OwnFormat(FloatFormat):
    """A format that `own_format` made. Matrix products decode its blocks to floats, and do not round activations."""

    quantizer: Kernel
    """The plan operation of `Format.quantize`."""
    quantize_block: BlockFunction
    """The author's `quantize(weights, importance, block)`, in Python."""
    dequantize_block: BlockFunction
    """The author's `dequantize(block, weights)`, in Python."""

    @property
    def source(self) -> str:
        """The file in which the author wrote it."""
        return self.dequantize_block.__code__.co_filename

    def verify(self) -> None:
        """Compile `dequantize` and decode a block of zeros.

        Raises ValueError if it cannot be compiled, fails, or does not write every weight.
        """
        self._compile(self.load, "dequantize")
        block = np.zeros(self.block_bytes, np.uint8)
        bits = np.full(self.block_size, _UNWRITTEN, np.uint32)
        self.load(block.ctypes.data, self.block_size, bits.ctypes.data)
        if unwritten := np.flatnonzero(bits == _UNWRITTEN).tolist():
            raise ValueError(f"dequantize of {self.name} left weight {unwritten[0]} of {self.block_size} unwritten")
        self._check_decoded(block, bits.view(np.float32))

    def dequantize(self, data: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """The weights of whole blocks; ValueError for a part of a block, and for a block that cannot be decoded."""
        self._compile(self.load, "dequantize")
        weights = super().dequantize(data)
        self._check_decoded(np.ascontiguousarray(data).view(np.uint8).reshape(-1), weights)
        return weights

    def _check_decoded(self, data: npt.NDArray[np.uint8], weights: npt.NDArray[np.float32]) -> None:
        """Have Python say why a block was not decoded, if one was not."""
        failed = np.flatnonzero(np.isnan(weights)) // self.block_size
        if failed.size:
            block = data.reshape(-1, self.block_bytes)[failed[0]]
            problem = _problem(self.dequantize_block, _record(block, self.layout), np.zeros(self.block_size, "f4"))
            if problem:
                raise ValueError(f"dequantize of {self.name} failed at block {failed[0]}: {problem}")

    def _quantizer(self, with_importance: bool) -> Kernel:
        self._compile(self.quantizer, "quantize")
        return self.quantizer

    def _check_quantized(self, words: npt.NDArray[np.int64], rows: npt.NDArray[np.float32]) -> None:
        if not words[7]:
            return
        n_blocks = rows.shape[1] // self.block_size
        row, index = divmod(int(words[7]) - 1, n_blocks)
        weights = rows[row].reshape(n_blocks, -1)[index].copy()
        block = np.zeros(self.block_bytes, np.uint8)
        problem = _problem(self.quantize_block, weights, np.ones_like(weights), _record(block, self.layout))
        raise ValueError(
            f"quantize of {self.name} failed in row {row}, block {index}: "
            f"{problem or 'an exception, which it does not raise in plain Python'}"
        )

    def _compile(self, kernel: Kernel, what: str) -> None:
        try:
            _ = kernel.address
        except CompilationError as error:
            text = " ".join(_COLORS.sub("", str(error)).split())
            raise ValueError(f"{what} of {self.name} cannot be compiled: {text[:_MAX_MESSAGE]}") from error


def own_format(
    name: str, *, layout: npt.DTypeLike, block_size: int, quantize: BlockFunction, dequantize: BlockFunction
) -> OwnFormat:
    """A format of blocks of `block_size` weights, each laid out as a structured dtype of NumPy.

    - `quantize(weights, importance, block)` fills in a block of zeros. `weights` are `block_size` finite floats,
      `importance` says how much the error of each counts, 1 for all if nothing is known.
    - `dequantize(block, weights)` writes `block_size` floats.

    Fields are read and assigned as `block.scale` and `block.codes[i]`; those of float16 are floats when they are read.
    Both functions are compiled by Numba, with the plain functions they call; an index beyond an array is an error.
    Raises ValueError for a name, layout or function that cannot be.
    """
    check_private_name(name)
    dtype = checked_layout(layout)
    if not 1 <= block_size <= MAX_BLOCK:
        raise ValueError(f"the block size of {name} is {block_size}; allowed are 1 to {MAX_BLOCK}")
    _check_function(quantize, "quantize", "weights, importance, block")
    _check_function(dequantize, "dequantize", "block, weights")
    load, quantizer = own_kernels(name, dtype, block_size, quantize, dequantize)
    return OwnFormat(
        name,
        private_type_id(name),
        dtype,
        block_size,
        "F32",
        load=load,
        quantizer=quantizer,
        quantize_block=quantize,
        dequantize_block=dequantize,
    )


def _check_function(function: Callable[..., Any], name: str, parameters: str) -> None:
    if not inspect.isfunction(function):
        raise ValueError(f"{name} is {function!r}; needed is a plain Python function {name}({parameters})")
    n_needed = parameters.count(",") + 1
    if len(inspect.signature(function).parameters) != n_needed:
        raise ValueError(f"{name} takes {inspect.signature(function)}; needed is {name}({parameters})")


def _record(data: npt.NDArray[np.uint8], layout: np.dtype[np.void]) -> Any:
    """Bytes as a record whose fields are attributes."""
    return data.view(np.dtype((np.record, layout)))[0]


def _problem(function: BlockFunction, *arguments: Any) -> str:
    """What goes wrong, and in which line, when the function runs in plain Python; nothing if all is well."""
    try:
        with np.errstate(all="ignore"):
            function(*arguments)
    except Exception as error:  # noqa: BLE001  # whatever the author's function raises
        place = traceback.extract_tb(error.__traceback__)[-1]
        return f"{type(error).__name__}: {error} ({Path(place.filename).name}, line {place.lineno})"
    return ""
