"""Quantization to Q5_K, byte for byte ggml's (`quantize_q5_K` in ggml-quants.c)."""

import numpy as np

from pyggml_kernels.formats.block_quantizer import LEVEL_BYTES, WORKSPACE_BYTES, block_addresses, n_blocks_in_chunk
from pyggml_kernels.formats.lanes import stack_memory
from pyggml_kernels.formats.six_bit_search import search_groups, search_groups_by_importance, store_levels
from pyggml_kernels.formats.words import bits, load_word, raise_bits, store_word
from pyggml_kernels.jit import device, kernel

_TOP = 31


@device
def _quantize_block(x: int, importance: int, out: int, workspace: int) -> None:
    if importance:
        search_groups_by_importance(x, importance, out, workspace, _TOP, True)
    else:
        search_groups(x, out, workspace, _TOP, np.float32(-0.5), np.float32(0.1), 15)
    store_levels(out, workspace, _TOP)
    for i in range(0, 32, 8):
        fifths = np.uint64(0)
        for pair in range(4):
            levels = workspace + LEVEL_BYTES + pair * 64 + i
            first, second = load_word(levels), load_word(levels + 32)
            store_word(out + 48 + pair * 32 + i, bits(first, 0, 15) | raise_bits(bits(second, 0, 15), 4))
            both = bits(first, 4, 1) | raise_bits(bits(second, 4, 1), 1)
            fifths |= raise_bits(both, 2 * pair)
        store_word(out + 16 + i, fifths)


@kernel
def quantize_q5_k(arguments: int, chunk: int, worker: int) -> None:
    """Groups of 32 with levels 0..31; see `Format._quantizer`."""
    workspace = stack_memory(WORKSPACE_BYTES)
    for index in range(n_blocks_in_chunk(arguments, chunk)):
        x, importance, out = block_addresses(arguments, chunk, index)
        _quantize_block(x, importance, out, workspace)
