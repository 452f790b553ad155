"""How products and attention are cut into blocks."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyggml_cuda import attention, cache, convert, matmul
from pyggml_cuda.formats import FLOATS, TileFormat, device_format
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
    shape, tiles = attention.cut(sequences, depth, group, 4)
    assert shape.n_tiles == len(tiles)
    queries = [query for first, n, _ in tiles for query in range(first, first + n)]
    assert sorted(queries) == list(range(len(sequences) * group))
    for first, n, first_token in tiles:
        assert 1 <= n <= shape.rows * shape.query_warps
        assert set(sequences[first_token : (first + n - 1) // group + 1]) == {sequences[first // group]}
        assert first_token == 0 or sequences[first_token - 1] != sequences[first_token]
    assert shape.n_splits == 1 or shape.n_splits * attention.SPLIT_SIZE >= depth


@pytest.mark.parametrize(
    ("n_new", "name", "sizes", "shared_limit", "expected"),
    [
        (1, "f16", (128, 128), 227 * 1024, "128, 128, 8, 1, 4, 3"),
        (2, "f16", (128, 128), 227 * 1024, "128, 128, 16, 1, 4, 3"),
        (99, "f16", (128, 128), 227 * 1024, "128, 128, 16, 4, 1, 4"),
        (1, "bf16", (80, 112), 227 * 1024, "80, 112, 8, 1, 7, 3"),
        (99, "f16", (256, 256), 227 * 1024, "256, 256, 16, 4, 2, 4"),
        # What a GPU of compute capability 7.5 has.
        (1, "f16", (128, 128), 64 * 1024, "128, 128, 8, 1, 4, 3"),
        (99, "f16", (128, 128), 64 * 1024, "128, 128, 16, 4, 1, 1"),
        (99, "f16", (256, 256), 64 * 1024, "256, 256, 16, 1, 4, 1"),
    ],
)
def test_attention_fits_into_shared_memory(
    n_new: int, name: str, sizes: tuple[int, int], shared_limit: int, expected: str
) -> None:
    kind = cache.CACHE_FORMATS[name]
    n_warps = attention.most_query_warps((kind, kind), sizes, shared_limit)
    shape, _ = attention.cut(np.zeros(n_new, np.int32), 1000, 7, n_warps)
    rows, table = cache.CacheRows(name, 0, 0, 0, 64), cache.PageTable(0, 0, 0, 1)
    launch = attention.attend(shape, 28, 4, sizes, 0.1, (0, 0, 0, 0), (rows, rows), table, shared_limit)
    assert launch.kernel.expression.endswith(f", {expected}>")
    assert launch.shared_bytes + 4096 < shared_limit


@settings(max_examples=300, deadline=None)
@given(depth=st.integers(1, 10**6))
def test_splits_are_enough_and_not_many_more(depth: int) -> None:
    n_splits = attention.cut(np.zeros(1, np.int32), depth, 7, 4)[0].n_splits
    n_used = -(-depth // attention.SPLIT_SIZE)
    assert n_used <= n_splits <= (1.25 * n_used if n_used > 16 else 2 * n_used)


@pytest.mark.parametrize(
    ("n_splits", "rotation", "kernel"),
    [(1, 0, "convert<Splits, Floats>"), (8, 0, "convert<Splits, Floats>"), (10, 0, "merge<Floats>"),
     (1, 64, "merge<Floats>")],
)  # fmt: skip
def test_many_splits_have_a_kernel_of_their_own(n_splits: int, rotation: int, kernel: str) -> None:
    source = convert.Source("Splits", 512, 0, value_size=128, n_splits=n_splits, split_size=256, rotation=rotation)
    launch = convert.convert(source, FLOATS, matmul.Activation(0, 0, 0, 0, 0, 0), 3)
    assert launch.kernel.expression == kernel
    assert launch.grid == ((2 if rotation or n_splits > 8 else 1), 3, 1)


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
