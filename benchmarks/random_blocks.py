"""Random blocks of any format, whose weights spread around 0 as those of a trained model do, and are never infinite."""

from collections.abc import Callable, Iterator, Mapping

import numpy as np
import numpy.typing as npt

from pyggml_kernels.formats import Format

#: Random rows are repeated after so many: to make gigabytes of them would take longer than the test.
_DISTINCT_ROWS = 256
#: Blocks from which the spread of the weights is measured.
_SAMPLE = 512
#: Where weights have minimums: the middle of the levels, which becomes 0.
_MIDDLE_LEVELS = {"Q4_1": -7.5, "Q5_1": -15.5, "Q2_K": 1.5, "Q4_K": 7.5, "Q5_K": 15.5}

_Blocks = npt.NDArray[np.void]


def random_rows(
    form: Format, n_rows: int, n_columns: int, random: np.random.Generator
) -> Iterator[npt.NDArray[np.uint8]]:
    """The bytes of a matrix, a few rows at a time; its weights have the deviation n_columns ** -0.5."""
    n_distinct = min(n_rows, _DISTINCT_ROWS)
    blocks = _random_blocks(form, n_distinct * n_columns // form.block_size, n_columns**-0.5, random)
    rows = blocks.view(np.uint8).reshape(n_distinct, -1)
    for start in range(0, n_rows, n_distinct):
        yield rows[: n_rows - start]


def _random_blocks(form: Format, n_blocks: int, deviation: float, random: np.random.Generator) -> _Blocks:
    blocks = np.frombuffer(random.bytes(n_blocks * form.block_bytes), form.layout).copy()
    if form.block_size == 1:
        _set_numbers(blocks, random.standard_normal(blocks.shape) * deviation)
    elif form.name in _FIXED_SCALES:
        _FIXED_SCALES[form.name](blocks)
    else:
        set_scale = _set_nibbles if form.name == "IQ1_M" else _set_scale
        set_scale(form, blocks, 1.0)
        spread = float(form.dequantize(blocks[:_SAMPLE].view(np.uint8)).std())
        set_scale(form, blocks, deviation / spread)
    return blocks


def _set_numbers(blocks: _Blocks, values: npt.NDArray[np.float64]) -> None:
    """Fill F32, F16 or BF16, the last being the upper half of a float."""
    names = blocks.dtype.names or ()
    if "bits" in names:
        blocks["bits"] = values.astype(np.float32).view(np.uint32) >> 16
    else:
        blocks["value"] = values.astype(blocks.dtype["value"])


def _set_scale(form: Format, blocks: _Blocks, scale: float) -> None:
    blocks["d"] = scale
    for minimum in {"m", "dmin"} & set(blocks.dtype.names or ()):
        blocks[minimum] = scale * _MIDDLE_LEVELS[form.name]


def _set_nibbles(form: Format, blocks: _Blocks, scale: float) -> None:
    """The scale of IQ1_M, a float of 16 bits, lies in the upper four bits of four words."""
    bits = int(np.float16(scale).view(np.uint16))
    for word in range(4):
        nibble = bits >> 4 * word & 15
        blocks["scales"][:, word] = blocks["scales"][:, word] & 0x0FFF | nibble << 12


def _set_mxfp4(blocks: _Blocks) -> None:
    """A power of two with the bias 127; levels are up to 12 half units."""
    blocks["e"] = 120


def _set_nvfp4(blocks: _Blocks) -> None:
    """The least normal number of four bits of exponent and three of mantissa, 2 ** -6."""
    blocks["d"] = 8


#: Formats whose scales are too coarse to be chosen freely.
_FIXED_SCALES: Mapping[str, Callable[[_Blocks], None]] = {"MXFP4": _set_mxfp4, "NVFP4": _set_nvfp4}
