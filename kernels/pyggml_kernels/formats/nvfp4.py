"""NVFP4: 64 weights as 4-bit floats, for each group of 16 an unsigned 8-bit float as scale (4.5 bits a weight)."""

from typing import Any

import numpy as np

from pyggml_kernels.formats.block_levels import SIXTEEN, largest_magnitude
from pyggml_kernels.formats.e2m1 import doubled
from pyggml_kernels.formats.e2m1_codes import nearest_codes
from pyggml_kernels.formats.each_block import blocks_quantizer
from pyggml_kernels.formats.format import LevelFormat
from pyggml_kernels.formats.lanes import lanes_of, load_lanes, store_lanes_as_bytes
from pyggml_kernels.formats.words import bits, load_word, store_word
from pyggml_kernels.jit import device, kernel
from pyggml_kernels.memory import bits_float, f32, float_bits, u8

LAYOUT = np.dtype([("d", np.uint8, 4), ("qs", np.uint8, 32)])
BLOCK_BYTES = LAYOUT.itemsize

_SUBNORMAL_STEP = np.float32(2.0**-10)


@device
def half_ue4m3(code: Any) -> Any:
    """Half the number of an UE4M3 code: 4 bits of exponent (bias 7), 3 of mantissa, the top bit of no account.

    The code of NaN, 127, gives 0, and 255 the number that would be next, both as in ggml.
    """
    exponent, mantissa = (code >> 3) & 15, code & 7
    if code == 127:
        return np.float32(0)
    if exponent == 0:
        return np.float32(mantissa) * _SUBNORMAL_STEP
    return bits_float(np.uint32((exponent - 8 + 127) << 23 | mantissa << 20))


@kernel
def decode_nvfp4(source: int, n_blocks: int, levels: int, scales: int, minimums: int) -> None:
    """Levels -12..12; the low halves of 8 bytes hold the first 8 weights of a group, the high halves the others."""
    scale, minimum = f32(scales, n_blocks * 4), f32(minimums, n_blocks * 4)
    for index in range(n_blocks):
        start, out = source + index * BLOCK_BYTES, levels + index * 64
        block = u8(start, BLOCK_BYTES)
        for group in range(4):
            scale[index * 4 + group] = half_ue4m3(np.int64(block[group]))
            minimum[index * 4 + group] = 0
            codes = load_word(start + 4 + group * 8)
            store_word(out + group * 16, doubled(bits(codes, 0, 15)))
            store_word(out + group * 16 + 8, doubled(bits(codes, 4, 15)))


_LARGEST, _LARGEST_CODE, _TOP_EXPONENT_CODE = np.float32(448), 0x7E, 0x78
_SUBNORMALS, _HALF, _SIX = np.float32(512), np.float32(0.5), np.float32(6)


@device
def to_ue4m3(x: Any) -> Any:
    """The code of a number of at least 0, halves up; that of 448 for all from 248 on, as in ggml."""
    word = np.int64(float_bits(min(x, _LARGEST)))
    exponent = (word >> 23) - 127 + 7
    if exponent <= 0:
        return min(7, np.int64(x * _SUBNORMALS + _HALF))
    # A mantissa that is rounded up to 8 carries into the exponent.
    code = (exponent << 3) + ((word >> 20) & 7) + ((word >> 19) & 1)
    return code if code < _TOP_EXPONENT_CODE else _LARGEST_CODE


@device
def _quantize_block(x: int, out: int) -> None:
    """The largest weight of a group is 6 times its scale."""
    like = lanes_of(8, np.float32(0))
    scales = u8(out, 4)
    for group in range(4):
        start = x + group * 64
        code = to_ue4m3(largest_magnitude(start, 16) / _SIX)
        scales[group] = code
        half_scale = half_ue4m3(code)
        low = nearest_codes(load_lanes(start, like), half_scale)
        high = nearest_codes(load_lanes(start + 32, like), half_scale)
        store_lanes_as_bytes(out + 4 + group * 8, low + high * SIXTEEN)


_quantize_blocks = blocks_quantizer(64, BLOCK_BYTES, _quantize_block)


@kernel
def quantize_nvfp4(arguments: int, chunk: int, worker: int) -> None:
    """Rows of weights to blocks; importance counts for nothing: see `Format._quantizer`."""
    _quantize_blocks(arguments, chunk)


NVFP4 = LevelFormat(
    "NVFP4", 40, LAYOUT, 64, "Q8_0", group_size=16, has_minimum=False, decode=decode_nvfp4, quantizer=quantize_nvfp4
)
