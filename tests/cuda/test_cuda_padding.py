"""Batches are filled up to few sizes by what changes nothing."""

import numpy as np
import pytest

pytest.importorskip("cupy", reason="needs CuPy, which the extra [cuda] brings")

from hypothesis import given, settings
from hypothesis import strategies as st

from pyggml.backend.cuda.padding import padded, padded_size, repeat_last, tile_sequences
from pyggml.backend.protocol import Step
from pyggml_cuda import matmul


@settings(max_examples=200, deadline=None)
@given(n=st.integers(0, 600), more=st.integers(0, 600))
def test_sizes_are_few_and_not_far(n: int, more: int) -> None:
    most = n + more
    size = padded_size(n, most)
    assert n <= size <= min(most, n + 31)
    assert size <= n + 7 or n > 64
    assert padded_size(size, most) == size
    # No kernel is another one for the larger batch.
    for bound in (matmul.FEW_TOKENS, matmul.FEW_TOKENS_OF_ROWS, 64):
        assert (size <= bound) == (n <= bound)


def test_there_are_few_sizes() -> None:
    assert len({padded_size(n, 512) for n in range(1, 513)}) <= 30


@settings(max_examples=100, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 40), min_size=1, max_size=5) | st.lists(st.just(1), min_size=1, max_size=40),
    n_outputs=st.integers(0, 20),
    room=st.integers(0, 9),
)
def test_the_last_token_fills_a_batch_up(lengths: list[int], n_outputs: int, room: int) -> None:
    n = sum(lengths)
    random = np.random.default_rng(n)
    step = Step(
        tokens=random.integers(0, 99, n).astype(np.int32),
        positions=np.concatenate([np.arange(each) for each in lengths]).astype(np.int32),
        sequences=np.repeat(np.arange(len(lengths)), lengths).astype(np.int32),
        page_table=random.integers(0, 99, (len(lengths), 3)).astype(np.int32),
        outputs=np.sort(random.choice(n, min(n, n_outputs), replace=False)).astype(np.int32),
        section_positions=random.integers(0, 99, (n, 4)).astype(np.int32),
        given_rows=random.integers(-1, 3, n).astype(np.int32),
    )
    whole = padded(step, n + room)
    size = padded_size(n, n + room)
    for name in ("tokens", "positions", "sequences", "section_positions", "given_rows"):
        before, after = getattr(step, name), getattr(whole, name)
        assert after.dtype == before.dtype
        np.testing.assert_array_equal(after[:n], before)
        assert len(after) == size
        assert (after[n:] == before[-1]).all()
    tiles_of = tile_sequences(step, whole)
    one_each = n == len(lengths)
    np.testing.assert_array_equal(tiles_of[:n], step.sequences)
    assert len(set(tiles_of.tolist())) == (size if one_each else len(lengths))
    assert tiles_of.dtype == np.int32
    np.testing.assert_array_equal(whole.outputs[: len(step.outputs)], step.outputs)
    assert len(whole.outputs) == padded_size(len(step.outputs), n + room)
    assert whole.page_table is step.page_table


def test_nothing_is_left_alone() -> None:
    nothing = np.zeros((0, 4), np.float32)
    assert repeat_last(nothing, 8) is nothing
    row = np.ones((1, 4), np.float32)
    assert repeat_last(row, 1) is row
