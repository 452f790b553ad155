"""Quantization to Q4_K, byte for byte ggml's (`quantize_q4_K` in ggml-quants.c)."""

import numpy as np

from pyggml_kernels.formats.block_quantizer import LEVEL_BYTES, WORKSPACE_BYTES, block_addresses, n_blocks_in_chunk
from pyggml_kernels.formats.lanes import stack_memory
from pyggml_kernels.formats.six_bit_search import search_groups, search_groups_by_importance, store_levels
from pyggml_kernels.formats.words import load_word, raise_bits, store_word
from pyggml_kernels.jit import device, kernel

_TOP = 15


@device
def _quantize_block(x: int, importance: int, out: int, workspace: int) -> None:
    if importance:
        search_groups_by_importance(x, importance, out, workspace, _TOP, False)
    else:
        search_groups(x, out, workspace, _TOP, np.float32(-1), np.float32(0.1), 20)
    store_levels(out, workspace, _TOP)
    levels = workspace + LEVEL_BYTES
    for pair in range(4):
        for i in range(0, 32, 8):
            low, high = load_word(levels + pair * 64 + i), load_word(levels + pair * 64 + 32 + i)
            store_word(out + 16 + pair * 32 + i, low | raise_bits(high, 4))


@kernel
def quantize_q4_k(arguments: int, chunk: int, worker: int) -> None:
    """Groups of 32 with levels 0..15; see `Format._quantizer`."""
    workspace = stack_memory(WORKSPACE_BYTES)
    for index in range(n_blocks_in_chunk(arguments, chunk)):
        x, importance, out = block_addresses(arguments, chunk, index)
        _quantize_block(x, importance, out, workspace)
