"""The argument words that all matrix products have, and what they do with a tile's results.

 0 weights        address of the first tile, or the first row
 1 stride         bytes from one tile, or one row, to the next
 2 n_rows         rows of the weights, columns of the result
 3 n_columns      columns of the weights and of x
 4 n_tokens       rows of x and of the result
 5 out            f32 (n_tokens, out_stride)
 6 out_stride     floats from one token's result to the next
 7 bias           f32 (n_rows,), or 0 for none
 8 tiles_per_chunk
 9 scratch        address of all workers' scratch
10 scratch_bytes  bytes of one worker's: see the `scratch_bytes` of each kind
11 x              signed bytes, or floats (n_tokens, n_columns)
12 x_stride       bytes from one token to the next
13 x_scales       f32 (n_tokens, n_columns / scale_columns); read for quantized weights only, like the next two
14 x_shifts       f32 (n_tokens, n_groups), read if there are float minimums
15 x_sums         i16 (n_tokens, n_groups), sums of x over the groups of the weights
16 scale_columns  columns that share a scale of x
17 group_size     columns in a group of the weights, 16 or 32
"""

from typing import Any

from pyggml_kernels.jit import device
from pyggml_kernels.memory import f32
from pyggml_kernels.simd.vector import TILE_ROWS
from pyggml_kernels.tiles.operands import Tokens

N_COMMON = 18
#: Tokens that a tile is multiplied with at once: with their sums they fill the registers.
BATCH = 6
#: Tokens that weights are decoded for at once, in registers.
FEW, TWO = 4, 2
#: Tokens from which on it pays to write the weights of a tile out wide first.
MIN_WIDE = 10
#: Bytes of the results of a tile and so many tokens, at the beginning of a worker's scratch.
RESULT_BYTES = BATCH * TILE_ROWS * 4


@device
def tile_range(a: Any, chunk: int) -> Any:
    """The first tile of a chunk, and the first that is not its own."""
    n_tiles = (a[2] + TILE_ROWS - 1) // TILE_ROWS
    return chunk * a[8], min(n_tiles, (chunk + 1) * a[8])


@device
def tokens_from(a: Any, token: int) -> Tokens:
    """The activations from a token on."""
    scale_bytes, n_groups = a[3] // a[16] * 4, a[3] // a[17]
    return Tokens(
        a[11] + token * a[12],
        a[12],
        a[13] + token * scale_bytes,
        scale_bytes,
        a[16],
        a[15] + token * n_groups * 2,
        n_groups * 2,
        a[14] + token * n_groups * 4,
        n_groups * 4,
    )


@device
def write_results(a: Any, tile: int, token: int, n_tokens: int, results: int) -> None:
    """Results (n_tokens, 16) of a tile, plus the bias, to where they belong; not those of rows that are not there."""
    first = tile * TILE_ROWS
    n = min(a[2] - first, TILE_ROWS)
    for i in range(n_tokens):
        result = f32(results + i * TILE_ROWS * 4, n)
        out = f32(a[5] + ((token + i) * a[6] + first) * 4, n)
        if a[7]:
            bias = f32(a[7] + first * 4, n)
            for row in range(n):
                out[row] = result[row] + bias[row]
        else:
            for row in range(n):
                out[row] = result[row]
