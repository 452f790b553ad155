"""Texts cut into chunks."""

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyggml.errors import EvaluationError
from pyggml.evaluate.chunks import chunk_bos, cut_chunks, strided_chunks, strided_length


@given(n_tokens=st.integers(0, 400), n_ctx=st.integers(3, 40), n_max=st.integers(-1, 5))
@settings(max_examples=100, deadline=None)
def test_chunks_lie_side_by_side(n_tokens: int, n_ctx: int, n_max: int) -> None:
    tokens = list(range(n_tokens))
    if n_tokens < 2 * n_ctx:
        with pytest.raises(EvaluationError, match=f"has {n_tokens} tokens; .* at least {2 * n_ctx} are needed"):
            cut_chunks(tokens, n_ctx, n_max, None)
        return
    chunks = cut_chunks(tokens, n_ctx, n_max, None)
    assert chunks.n_chunks == (n_tokens // n_ctx if n_max < 0 else min(n_max, n_tokens // n_ctx))
    assert chunks.tokens.reshape(-1).tolist() == tokens[: chunks.n_chunks * n_ctx]
    # The second half counts; the last token foretells nothing that is known.
    assert len(chunks.scored) == n_ctx - n_ctx // 2 - 1
    np.testing.assert_array_equal(chunks.targets, chunks.tokens[:, list(chunks.scored)] + 1)


def test_bos_takes_the_place_of_a_chunks_first_token() -> None:
    chunks = cut_chunks(list(range(10, 30)), 5, -1, 7)
    evaluated = chunks.evaluated(1, 9)
    assert evaluated[:, 0].tolist() == [7] * 3
    assert evaluated[:, 1:].tolist() == chunks.tokens[1:, 1:].tolist()
    assert chunks.tokens[:, 0].tolist() == [10, 15, 20, 25]


@given(n_tokens=st.integers(1024, 1400), n_ctx=st.integers(3, 400), stride=st.integers(1, 200))
@settings(max_examples=100, deadline=None)
def test_strided_chunks_foretell_each_token_once(n_tokens: int, n_ctx: int, stride: int) -> None:
    length = strided_length(n_ctx, stride)
    assert length % 256 == 0
    assert length >= n_ctx
    if stride >= length or n_tokens < 2 * length:
        return
    chunks = strided_chunks(list(range(n_tokens)), n_ctx, stride, -1)
    assert chunks.targets.reshape(-1).tolist() == list(
        range(length - stride, length - stride + chunks.n_chunks * stride)
    )
    assert n_tokens - stride <= chunks.tokens[-1, -1] + 1 < n_tokens + 1
    assert strided_chunks(list(range(n_tokens)), n_ctx, stride, 2).n_chunks == min(2, chunks.n_chunks)


def tokenizer(add_bos: bool, add_eos: bool) -> Any:
    return cast(Any, SimpleNamespace(bos=1, add_bos=add_bos, add_eos=add_eos))


def test_what_chunks_begin_with() -> None:
    assert chunk_bos(tokenizer(True, False)) == 1
    assert chunk_bos(tokenizer(False, False)) is None
    with pytest.raises(EvaluationError, match=r"add_eos_token is set: .*; allowed are vocabularies that add none"):
        chunk_bos(tokenizer(True, True))
