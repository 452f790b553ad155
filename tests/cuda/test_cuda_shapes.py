"""How products and attention are cut into blocks."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyggml_cuda import attention, matmul
from pyggml_cuda.formats import TileFormat, device_format
from pyggml_kernels.formats import format_named


@settings(max_examples=200, deadline=None)
@given(
    name=st.sampled_from(["Q2_K", "Q4_K", "Q8_0", "IQ4_XS"]), n_tiles=st.integers(1, 300), n_rows=st.integers(1, 10**5)
)
def test_parts_are_of_about_equal_length(name: str, n_tiles: int, n_rows: int) -> None:
    form = device_format(format_named(name))
    assert isinstance(form, TileFormat)
    n = matmul.n_parts(form, 256 * n_tiles, n_rows)
    assert 1 <= n <= min(16, n_tiles)
    assert -(-n_tiles // n) * n <= 1.1 * n_tiles


@settings(max_examples=200, deadline=None)
@given(sizes=st.lists(st.integers(1, 70), min_size=1, max_size=5), group=st.integers(1, 20), depth=st.integers(1, 9999))
def test_tiles_hold_each_query_once_and_one_sequence_each(sizes: list[int], group: int, depth: int) -> None:
    sequences = np.repeat(np.arange(len(sizes)), sizes).astype(np.int32)
    shape, tiles = attention.cut(sequences, depth, group)
    assert shape.n_tiles == len(tiles)
    queries = [query for first, n in tiles for query in range(first, first + n)]
    assert queries == list(range(len(sequences) * group))
    for first, n in tiles:
        assert 1 <= n <= 16 * shape.query_warps
        assert len(set(sequences[first // group : (first + n - 1) // group + 1])) == 1
    assert shape.n_splits == 1 or shape.n_splits * attention.SPLIT_SIZE >= depth


@pytest.mark.parametrize(
    ("n_tokens", "kernel"), [(1, "few<Q4_K, 1>"), (8, "few<Q4_K, 8>"), (9, "few<Q4_K, 16>"), (17, "many")]
)
def test_batches_have_their_kernels(n_tokens: int, kernel: str) -> None:
    form = device_format(format_named("Q4_K"))
    x = matmul.Activation(0, 0, 0, 0, 0, 0)
    launch = matmul.multiply(form, [matmul.Matrix(0, 100, 0)], x, n_tokens, 512, (8, 0))
    assert kernel in launch.kernel.expression
    assert launch.block % 32 == 0
    assert int(launch.arguments[0]["n_row_tiles"]) == 7


@pytest.mark.parametrize("n_tokens", [17, 64, 500])
def test_old_gpus_have_room_for_blocks(n_tokens: int) -> None:
    for name in ("Q2_K", "Q4_K", "Q8_0", "Q4_1", "IQ2_XS"):
        form = device_format(format_named(name))
        x = matmul.Activation(0, 0, 0, 0, 0, 0)
        launch = matmul.multiply(form, [matmul.Matrix(0, 10**5, 0)], x, n_tokens, 512, (7, 5))
        assert launch.shared_bytes <= 64 << 10
