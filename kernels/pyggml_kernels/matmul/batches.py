"""A tile times any number of tokens, some of them at once."""

from collections.abc import Callable
from typing import Any

from pyggml_kernels.jit import device
from pyggml_kernels.matmul.words import BATCH, tokens_from, write_results
from pyggml_kernels.simd.rows import Operation
from pyggml_kernels.simd.vector import TILE_ROWS
from pyggml_kernels.tiles.operands import Tile

_HALF = BATCH // 2


def all_tokens(product: Callable[[int], Operation]) -> Operation:
    """Makes `(a, index, tile, results)` from what makes a product for a number of tokens."""
    many, few, one = product(BATCH), product(_HALF), product(1)

    @device
    def multiply(a: Any, index: int, tile: Tile, results: int) -> None:
        token, n_tokens = 0, a[4]
        while token < n_tokens:
            left = n_tokens - token
            n = BATCH if left >= BATCH else (_HALF if left >= _HALF else 1)
            tokens = tokens_from(a, token)
            if n == BATCH:
                many(tile, tokens, results, TILE_ROWS * 4)
            elif n == _HALF:
                few(tile, tokens, results, TILE_ROWS * 4)
            else:
                one(tile, tokens, results, TILE_ROWS * 4)
            write_results(a, index, token, n, results)
            token += n

    return multiply
