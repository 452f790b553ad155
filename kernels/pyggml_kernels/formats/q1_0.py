"""Q1_0: 128 weights as signs and one half-precision scale (1.125 bits a weight)."""

import numpy as np

from pyggml_kernels.formats.block_levels import load_16
from pyggml_kernels.formats.block_scales import store_half
from pyggml_kernels.formats.each_block import blocks_quantizer
from pyggml_kernels.formats.format import LevelFormat
from pyggml_kernels.formats.lane_codes import which_lanes
from pyggml_kernels.formats.lanes import zeros
from pyggml_kernels.formats.words import less, spread, store_word
from pyggml_kernels.jit import device, kernel
from pyggml_kernels.memory import f32, load_half, u8

LAYOUT = np.dtype([("d", np.float16), ("qs", np.uint8, 16)])
BLOCK_BYTES = LAYOUT.itemsize


@kernel
def decode_q1_0(source: int, n_blocks: int, levels: int, scales: int, minimums: int) -> None:
    """Levels 1 where a bit is set and -1 where it is not, the lowest bit of a byte first."""
    scale, minimum = f32(scales, n_blocks * 4), f32(minimums, n_blocks * 4)
    for index in range(n_blocks):
        block, out = u8(source + index * BLOCK_BYTES, BLOCK_BYTES), levels + index * 128
        d = load_half(block, 0)
        for group in range(4):
            scale[index * 4 + group] = d
            minimum[index * 4 + group] = 0
        for i in range(16):
            store_word(out + i * 8, less(spread(np.uint64(block[2 + i]), 1), 1))


@device
def _quantize_block(x: int, out: int) -> None:
    """Bits for weights of at least zero, -0 too; d is the mean magnitude, summed up in order."""
    weights, block = f32(x, 128), u8(out, BLOCK_BYTES)
    total = np.float32(0)
    for i in range(128):
        total += abs(weights[i])
    store_half(block, 0, total / np.float32(128))
    for i in range(8):
        numbers = load_16(x + i * 64)
        positive = ~which_lanes(numbers < zeros(numbers))
        block[2 + 2 * i] = positive & 0xFF
        block[3 + 2 * i] = (positive >> 8) & 0xFF


_quantize_blocks = blocks_quantizer(128, BLOCK_BYTES, _quantize_block)


@kernel
def quantize_q1_0(arguments: int, chunk: int, worker: int) -> None:
    """Rows of weights to blocks; importance counts for nothing: see `Format._quantizer`."""
    _quantize_blocks(arguments, chunk)


Q1_0 = LevelFormat(
    "Q1_0", 41, LAYOUT, 128, "Q8_0", group_size=32, has_minimum=False, decode=decode_q1_0, quantizer=quantize_q1_0
)
