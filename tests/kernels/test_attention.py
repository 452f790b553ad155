"""Attention over a paged cache against ggml's (level 3) and float64, and against itself (level 6)."""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyggml_kernels import attention
from pyggml_kernels.cache_formats import CACHE_FORMATS
from pyggml_reference.operations import AttentionParameters, flash_attention
from tests.kernels.calling import MAX_NMSE, Doubles, Floats, address, call, guarded, nmse, normals
from tests.kernels.comparing import Guarded, assert_same_bits

SEEDS = st.integers(0, 2**32 - 1)
#: Numbers in a head: those that models have, and others.
SIZES = st.one_of(st.sampled_from([40, 64, 80, 96, 128]), st.integers(8, 256))
#: ggml takes keys and values of F32 and F16 in float32 for batches of this many tokens; smaller ones it rounds more.
_TILE = 64


@dataclass(frozen=True)
class Case:
    """Sequences with keys and values at all their positions, and a batch of tokens somewhere in them."""

    keys: list[Floats]
    """For each sequence (n_positions, n_kv_heads, key_size)"""
    values: list[Floats]
    """For each sequence (n_positions, n_kv_heads, value_size)"""
    queries: Floats
    """(n_tokens, n_heads, key_size)"""
    sequences: npt.NDArray[np.int32]
    positions: npt.NDArray[np.int32]
    key_format: str
    value_format: str
    page_size: int
    scale: float
    pages_per_part: int = 2

    @property
    def n_kv_heads(self) -> int:
        return int(self.keys[0].shape[1])

    def pages(self, seed: int) -> npt.NDArray[np.int32]:
        """A page table whose rows use all pages of the cache in a mixed order, (n_sequences, pages of the longest)."""
        n_each = [-(-len(keys) // self.page_size) for keys in self.keys]
        pages = np.random.default_rng(seed).permutation(sum(n_each)).astype(np.int32)
        table = np.full((len(n_each), max(n_each) + 1), -1, np.int32)
        for row, own in zip(table, np.split(pages, np.cumsum(n_each)[:-1]), strict=True):
            row[: len(own)] = own
        return table

    def store(self, table: npt.NDArray[np.int32], rows: list[Floats], format_name: str, seed: int) -> Guarded:
        """A cache (n_pages, 2, n_kv_heads, page_size, row_bytes) with all positions of its second layer written."""
        form = CACHE_FORMATS[format_name]
        size = rows[0].shape[-1]
        row_bytes = form.row_bytes(size)
        n_pages = int((table >= 0).sum())
        cache = guarded((n_pages, 2, self.n_kv_heads, self.page_size, row_bytes), np.uint8)
        sequences = np.repeat(np.arange(len(rows)), [len(each) for each in rows]).astype(np.int32)
        positions = np.concatenate([np.arange(len(each)) for each in rows]).astype(np.int32)
        # One more number than needed from token to token.
        stride = self.n_kv_heads * size + 1
        x = guarded((len(positions), stride)).array
        x[:, :-1] = np.concatenate(rows).reshape(len(positions), -1)
        layer = address(cache.array[:, 1])
        words = dict(enumerate([address(x), stride, self.n_kv_heads, size, layer, row_bytes, self.page_size]))
        words |= {7: address(positions), 8: address(sequences), 9: address(table), 10: table.shape[1]}
        words |= {11: form.store.address, 12: cache.array.strides[0]}
        call(attention.store_rows, words, len(positions), seed=seed)
        cache.assert_intact()
        assert (cache.array[:, 0] == 0xFF).all(), "written into another layer"
        return cache

    def run(
        self,
        tokens: npt.NDArray[np.int64] | None = None,
        *,
        tokens_per_chunk: int = 8,
        n_sharing: int = 0,
        seed: int = 0,
    ) -> Floats:
        """The result (n_tokens, n_heads, value_size) for these tokens as a batch, in this order.

        If `n_sharing` is not 0, so many chunks share the contexts of all tokens.
        """
        chosen = np.arange(len(self.queries)) if tokens is None else tokens
        n, (_, n_heads, size), value_size = len(chosen), self.queries.shape, self.values[0].shape[-1]
        table = self.pages(seed)
        keys = self.store(table, self.keys, self.key_format, seed)
        values = self.store(table, self.values, self.value_format, seed)
        queries = guarded((n, n_heads * size + 2)).array
        queries[:, :-2] = self.queries[chosen].reshape(n, -1)
        positions, sequences = self.positions[chosen], self.sequences[chosen]
        out = guarded((n, n_heads, value_size))
        group = n_heads // self.n_kv_heads
        if n_sharing:
            tokens_per_chunk = n
        n_bytes = attention.scratch_bytes(size, value_size, self.page_size, group, tokens_per_chunk)
        scratch = guarded((3, n_bytes), np.uint8)
        key_format, value_format = CACHE_FORMATS[self.key_format], CACHE_FORMATS[self.value_format]
        words = dict(enumerate([address(queries), n_heads * size + 2, n, group, self.n_kv_heads, size]))
        words |= {6: address(keys.array[:, 1]), 7: key_format.row_bytes(size), 8: key_format.load.address}
        words |= {9: key_format.store.address if key_format.rounds_queries else 0}
        words |= {10: address(values.array[:, 1]), 11: value_format.row_bytes(value_size)}
        words |= {12: value_format.load.address}
        words |= {13: self.page_size, 14: address(positions), 15: address(sequences)}
        words |= {16: address(table), 17: table.shape[1], 18: out.address, 19: tokens_per_chunk}
        words |= {20: scratch.address, 21: n_bytes, 23: value_size}
        words |= {24: keys.array.strides[0], 25: values.array.strides[0]}
        n_parts = -(-table.shape[1] // self.pages_per_part)
        partials = guarded((n_parts * n * n_heads, attention.partial_bytes(value_size)), np.uint8)
        words |= {26: self.pages_per_part, 27: n_sharing or 1, 28: partials.address if n_sharing else 0}
        n_chunks = -(-n // tokens_per_chunk) * (n_sharing or 1) * self.n_kv_heads
        call(attention.attend, words, n_chunks, doubles={22: self.scale}, seed=seed, n_workers=3)
        if n_sharing:
            call(attention.merge_parts, words, self.n_kv_heads, seed=seed)
        for each in (out, scratch, partials):
            each.assert_intact()
        return out.array

    def exact(self) -> Doubles:
        """The result in double precision, from keys and values, and if need be queries, as the cache rounds them."""
        queries = self.queries
        if CACHE_FORMATS[self.key_format].rounds_queries:
            queries = rounded(queries, self.key_format)
        result = []
        for query, sequence, position in zip(queries, self.sequences, self.positions, strict=True):
            group = len(query) // self.n_kv_heads
            k = rounded(self.keys[sequence][: position + 1], self.key_format).astype(np.float64).repeat(group, axis=1)
            v = rounded(self.values[sequence][: position + 1], self.value_format).astype(np.float64)
            scores = np.einsum("hi,phi->hp", query.astype(np.float64), k) * np.float32(self.scale)
            p = np.exp(scores - scores.max(axis=-1, keepdims=True))
            result.append(np.einsum("hp,phi->hi", p / p.sum(axis=-1, keepdims=True), v.repeat(group, axis=1)))
        return np.stack(result)

    def of_ggml(self) -> Floats:
        """The result of ggml, sequence by sequence; as of a batch, to whose size small ones are filled up."""
        result = guarded((len(self.queries), self.queries.shape[1], self.values[0].shape[-1])).array
        kinds = [CACHE_FORMATS[name].format.type_id for name in (self.key_format, self.value_format)]
        parameters = AttentionParameters(self.scale, *kinds)
        for sequence, (keys, values) in enumerate(zip(self.keys, self.values, strict=True)):
            mine = np.flatnonzero(self.sequences == sequence)
            if not mine.size:
                continue
            filled = np.resize(mine, max(mine.size, _TILE))
            mask = np.where(np.arange(len(keys)) <= self.positions[filled][:, None], 0, -np.inf)
            found = flash_attention(self.queries[filled], keys, values, mask, parameters)
            result[mine] = found[: mine.size]
        return result


def rounded(x: Floats, format_name: str) -> Floats:
    """Rows through a format of the cache and back."""
    form = CACHE_FORMATS[format_name]
    size = x.shape[-1]
    source = np.ascontiguousarray(x)
    stored, out = np.empty((x.size // size, form.row_bytes(size)), np.uint8), np.empty_like(source)
    for row, encoded, decoded in zip(source.reshape(-1, size), stored, out.reshape(-1, size), strict=True):
        form.store(address(row), size, address(encoded))
        form.load(address(encoded), size, address(decoded))
    return out


@st.composite
def cases(draw: st.DrawFn, key_format: str, value_format: str) -> Case:
    generator = np.random.default_rng(draw(SEEDS))
    key_size, value_size = (
        32 * draw(st.integers(1, 8)) if "q8_0" in (key_format, value_format) else draw(SIZES) for _ in range(2)
    )
    n_kv_heads, group = draw(st.integers(1, 3)), draw(st.integers(1, 8))
    lengths = draw(st.lists(st.integers(1, 90), min_size=1, max_size=3))
    n_tokens = draw(st.integers(1, min(70, sum(lengths))))
    sequences = np.repeat(np.arange(len(lengths)), lengths).astype(np.int32)
    positions = np.concatenate([np.arange(length) for length in lengths]).astype(np.int32)
    chosen = generator.permutation(len(sequences))[:n_tokens]
    if draw(st.booleans()):  # in order, as batches come; otherwise any tokens
        chosen = np.sort(chosen)
    # Scores of a spread that leaves several keys with some weight.
    scale = draw(st.sampled_from([1.0, 0.3, 2.0])) / np.sqrt(key_size)
    return Case(
        keys=[generator.standard_normal((n, n_kv_heads, key_size)).astype(np.float32) for n in lengths],
        values=[normals(generator, n, n_kv_heads, value_size) for n in lengths],
        queries=generator.standard_normal((n_tokens, n_kv_heads * group, key_size)).astype(np.float32),
        sequences=sequences[chosen],
        positions=positions[chosen],
        key_format=key_format,
        value_format=value_format,
        page_size=draw(st.sampled_from([1, 5, 16, 64])),
        scale=float(scale),
        pages_per_part=draw(st.sampled_from([1, 2, 3, 8])),
    )


@pytest.mark.parametrize("name", CACHE_FORMATS)
@settings(max_examples=25, deadline=None)
@given(data=st.data(), tokens_per_chunk=st.integers(1, 10), seed=SEEDS)
def test_attention_is_that_of_ggml(name: str, data: st.DataObject, tokens_per_chunk: int, seed: int) -> None:
    case = data.draw(cases(name, name))
    found = case.run(tokens_per_chunk=tokens_per_chunk, seed=seed)
    assert nmse(found, case.of_ggml()) <= MAX_NMSE


@pytest.mark.parametrize("key_format", CACHE_FORMATS)
@pytest.mark.parametrize("value_format", CACHE_FORMATS)
@settings(max_examples=6, deadline=None)
@given(data=st.data(), tokens_per_chunk=st.integers(1, 10), seed=SEEDS)
def test_attention_is_the_one_in_double_precision(
    key_format: str, value_format: str, data: st.DataObject, tokens_per_chunk: int, seed: int
) -> None:
    case = data.draw(cases(key_format, value_format))
    assert nmse(case.run(tokens_per_chunk=tokens_per_chunk, seed=seed), case.exact()) <= 1e-11


@pytest.mark.parametrize("name", CACHE_FORMATS)
@settings(max_examples=15, deadline=None)
@given(data=st.data(), tokens_per_chunk=st.integers(1, 20), n_sharing=st.integers(0, 5), seed=SEEDS)
def test_a_token_has_the_same_bits_in_every_batch_chunk_and_order_of_pages(
    name: str, data: st.DataObject, tokens_per_chunk: int, n_sharing: int, seed: int
) -> None:
    case = data.draw(cases(name, name))
    whole = case.run()
    n = len(case.queries)
    some = np.random.default_rng(seed).permutation(n)[: data.draw(st.integers(1, n))]
    part = case.run(some, tokens_per_chunk=tokens_per_chunk, n_sharing=n_sharing, seed=seed)
    assert_same_bits(part, whole[some])


@pytest.mark.parametrize("name", CACHE_FORMATS)
def test_rows_go_to_their_page_and_nowhere_else(name: str) -> None:
    # Positions 2 to 5 of a sequence in pages 3 and 1 of four, second of three layers: the rest keeps its bytes.
    generator = np.random.default_rng(5)
    form = CACHE_FORMATS[name]
    x = normals(generator, 4, 2, 64)
    cache = guarded((4, 3, 2, 4, form.row_bytes(64)), np.uint8)
    layer = cache.address + cache.array.strides[1]
    positions, sequences = np.array([5, 2, 4, 3], np.int32), np.ones(4, np.int32)
    table = np.array([[0, 0], [3, 1]], np.int32)
    words = dict(enumerate([address(x), 128, 2, 64, layer, form.row_bytes(64), 4]))
    words |= {
        7: address(positions),
        8: address(sequences),
        9: address(table),
        10: 2,
        11: form.store.address,
        12: cache.array.strides[0],
    }
    call(attention.store_rows, words, 4)
    expected = np.full_like(cache.array, 0xFF)
    for token, (page, row) in enumerate([(1, 1), (3, 2), (1, 0), (3, 3)]):
        for head in range(2):
            form.store(address(x[token, head]), 64, address(expected[page, 1, head, row]))
    np.testing.assert_array_equal(cache.array, expected)


def one_token(keys: Floats, values: Floats, query: Floats) -> Case:
    zero = np.zeros(1, np.int32)
    last = zero + np.int32(len(keys) - 1)
    return Case([keys], [values], query[None, None], zero, last, "f32", "f32", 4, 1.0)


def test_attention_by_hand() -> None:
    # Scores 0, ln 2 and ln 5: weights 1/8, 2/8 and 5/8.
    keys = np.log(np.array([1, 2, 5], np.float32)).reshape(3, 1, 1)
    values = np.array([[8, 0], [0, 8], [16, -8]], np.float32).reshape(3, 1, 2)
    found = one_token(keys, values, np.ones(1, np.float32)).run()
    np.testing.assert_allclose(found, [[[1 + 10, 2 - 5]]], rtol=1e-6)


def test_scores_beyond_the_range_of_exp_are_no_trouble() -> None:
    keys = np.array([-3e4, 3e4, 2.9e4, -3e38, 3e4], np.float32).reshape(5, 1, 1)
    values = np.array([1, 2, 50, 60, 4], np.float32).reshape(5, 1, 1)
    np.testing.assert_allclose(one_token(keys, values, np.ones(1, np.float32)).run(), [[[3]]], rtol=1e-6)


def test_what_is_not_finite_shows_in_those_who_see_it() -> None:
    generator = np.random.default_rng(8)
    keys, values = normals(generator, 9, 1, 8), normals(generator, 9, 1, 8)
    case = Case(
        keys=[keys],
        values=[values],
        queries=normals(generator, 9, 2, 8),
        sequences=np.zeros(9, np.int32),
        positions=np.arange(9, dtype=np.int32),
        key_format="f16",
        value_format="f16",
        page_size=4,
        scale=0.3,
    )
    for spoiled in ("keys", "values"):
        rows = (keys if spoiled == "keys" else values).copy()
        rows[5, 0, 2] = np.nan
        found = replace(case, keys=[rows]) if spoiled == "keys" else replace(case, values=[rows])
        assert np.isfinite(found.run()[:5]).all()
        assert np.isnan(found.run()[5:]).any(axis=(1, 2)).all()
