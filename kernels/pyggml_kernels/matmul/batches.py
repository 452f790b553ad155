"""A tile times any number of tokens, some of them at once."""

from collections.abc import Callable
from typing import Any

from pyggml_kernels.jit import device
from pyggml_kernels.matmul.words import BATCH, FEW, MIN_WIDE, TWO, tokens_from, write_results
from pyggml_kernels.simd.rows import Operation
from pyggml_kernels.simd.vector import TILE_ROWS
from pyggml_kernels.tiles.operands import Tile

#: Makes a product for a number of tokens.
MakeProduct = Callable[[int], Operation]


@device
def _batch(n_tokens: int, n_left: int) -> int:
    """How many tokens to take next."""
    if n_tokens >= MIN_WIDE:
        return BATCH
    if n_tokens >= FEW and n_left > TWO:
        return FEW
    return min(n_tokens, TWO)


def all_tokens(make_wide: MakeProduct, make_packed: MakeProduct) -> Operation:
    """Makes `(a, index, wide, packed, results)`: for a tile that is written out wide if there are `MIN_WIDE` tokens,
    and the same tile as it is kept.

    The last batch begins among tokens that are done, where there are too few others: all together are faster than one
    by one.
    """
    many, few, two, one = make_wide(BATCH), make_packed(FEW), make_packed(TWO), make_packed(1)

    @device
    def multiply(a: Any, index: int, wide: Tile, packed: Tile, results: int) -> None:
        token, n_tokens = 0, a[4]
        while token < n_tokens:
            n = _batch(n_tokens, n_tokens - token)
            first = min(token, n_tokens - n)
            tokens = tokens_from(a, first)
            if n == BATCH:
                many(wide, tokens, results, TILE_ROWS * 4)
            elif n == FEW:
                few(packed, tokens, results, TILE_ROWS * 4)
            elif n == TWO:
                two(packed, tokens, results, TILE_ROWS * 4)
            else:
                one(packed, tokens, results, TILE_ROWS * 4)
            write_results(a, index, first, n, results)
            token = first + n

    return multiply
