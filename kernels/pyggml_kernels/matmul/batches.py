"""A tile times any number of tokens, some of them at once."""

from collections.abc import Callable
from typing import Any

from pyggml_kernels.jit import device
from pyggml_kernels.matmul.words import BATCH, MIN_SHARING, tokens_from, write_results
from pyggml_kernels.simd.rows import Operation
from pyggml_kernels.simd.vector import TILE_ROWS
from pyggml_kernels.tiles.operands import Tile


def all_tokens(product: Callable[[int], Operation], one: Operation) -> Operation:
    """Makes `(a, index, tile, single, results)` from what makes a product for a number of tokens.

    `one` is the product for a token that is left alone, with the same weights as another tile, `single`: kernels that
    have it anyway need not compile another.
    """
    many, few = product(BATCH), product(MIN_SHARING)

    @device
    def multiply(a: Any, index: int, tile: Tile, single: Tile, results: int) -> None:
        token, n_tokens = 0, a[4]
        while token < n_tokens:
            left = n_tokens - token
            n = BATCH if left >= BATCH else (MIN_SHARING if left >= MIN_SHARING else 1)
            tokens = tokens_from(a, token)
            if n == BATCH:
                many(tile, tokens, results, TILE_ROWS * 4)
            elif n == MIN_SHARING:
                few(tile, tokens, results, TILE_ROWS * 4)
            else:
                one(single, tokens, results, TILE_ROWS * 4)
            write_results(a, index, token, n, results)
            token += n

    return multiply
