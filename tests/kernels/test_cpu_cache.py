"""The cache in main memory: reading it out and in, copying pages, and moving positions against float64 rotations."""

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyggml.backend.cpu.cache import CPUCache
from pyggml.backend.graph import Rope
from pyggml.backend.protocol import CacheShape
from pyggml.models.rope import RopeConfig
from pyggml_kernels.cache_formats import CACHE_FORMATS, CacheFormat
from tests.kernels.calling import Bytes, Doubles, Floats, address, nmse

SEEDS = st.integers(0, 2**32 - 1)
every_format = pytest.mark.parametrize("name", CACHE_FORMATS)


def encode(form: CacheFormat, rows: Floats) -> Bytes:
    """Rows of the last axis as the cache keeps them."""
    source = np.ascontiguousarray(rows, np.float32)
    size = source.shape[-1]
    result = np.empty((*source.shape[:-1], form.row_bytes(size)), np.uint8)
    for row, encoded in zip(source.reshape(-1, size), result.reshape(-1, result.shape[-1]), strict=True):
        form.store(address(row), size, address(encoded))
    return result


def decode(form: CacheFormat, data: Bytes, size: int) -> Floats:
    rows = np.ascontiguousarray(data).reshape(-1, data.shape[-1])
    result = np.empty((len(rows), size), np.float32)
    for row, decoded in zip(rows, result, strict=True):
        form.load(address(row), size, address(decoded))
    return result.reshape(*data.shape[:-1], size)


@dataclass(frozen=True)
class Contents:
    """Keys and values by position, layer and head, as bytes; `Cache.read` gives them by layer and position."""

    keys: Bytes
    values: Bytes

    def to_bytes(self) -> bytes:
        return np.concatenate([self.keys, self.values], axis=-1).swapaxes(0, 1).tobytes()


def contents_of(cache: CPUCache, pages: list[int], n: int) -> Contents:
    data = np.frombuffer(cache.read(pages, n), np.uint8)
    assert data.size == cache.bytes_of(n)
    s = cache.shape
    n_key_bytes = cache.keys.row_bytes
    rows = data.reshape(s.n_layers, n, s.n_kv_heads, n_key_bytes + cache.values.row_bytes).swapaxes(0, 1)
    return Contents(rows[..., :n_key_bytes], rows[..., n_key_bytes:])


def random_contents(cache: CPUCache, n: int, seed: int) -> Contents:
    s, generator = cache.shape, np.random.default_rng(seed)
    keys, values = (
        generator.standard_normal((n, s.n_layers, s.n_kv_heads, size)).astype(np.float32)
        for size in (s.key_size, s.value_size)
    )
    return Contents(encode(cache.keys.format, keys), encode(cache.values.format, values))


def cache_of(key_format: str, value_format: str, *, key_size: int = 64, page_size: int = 4) -> CPUCache:
    return CPUCache(CacheShape(2, 3, key_size, 32, 12, page_size, key_format, value_format))


@every_format
@settings(max_examples=25, deadline=None)
@given(n=st.integers(0, 20), seed=SEEDS)
def test_what_is_read_can_be_written_into_other_pages(name: str, n: int, seed: int) -> None:
    cache = cache_of(name, "f16")
    pages = np.random.default_rng(seed).permutation(12).tolist()
    data = random_contents(cache, n, seed).to_bytes()
    cache.write(pages[:5], n, data)
    assert cache.read(pages[:5], n) == data
    cache.write(pages[5:10], n, cache.read(pages[:5], n))
    assert cache.read(pages[5:10], n) == cache.read(pages[:5], n) == data
    assert not np.frombuffer(cache.read(pages[10:], 8), np.uint8).any()


@every_format
def test_a_copied_page_is_equal_in_all_layers_and_nothing_else_changes(name: str) -> None:
    cache = cache_of(name, name)
    everything = list(range(12))
    before = random_contents(cache, 48, 3)
    cache.write(everything, 48, before.to_bytes())
    cache.copy_page(7, 2)
    after = contents_of(cache, everything, 48)
    moved = np.arange(48)
    moved[8:12] = np.arange(28, 32)
    np.testing.assert_array_equal(after.keys, before.keys[moved])
    np.testing.assert_array_equal(after.values, before.values[moved])


def rotated(x: Floats, distance: int, rope: Rope) -> Doubles:
    """Heads turned by a distance, in double precision."""
    pair = np.arange(rope.n_pairs)
    extrapolated = distance * rope.theta_scale**pair / rope.factors
    angle = extrapolated * rope.frequency_scale
    if rope.extrapolation:
        low, high = rope.ramp
        mix = 1 - np.clip((pair - low) / max(0.001, high - low), 0, 1)
        angle = angle * (1 - mix) + extrapolated * mix
    first, second = (pair, pair + rope.n_pairs) if rope.halves else (2 * pair, 2 * pair + 1)
    result = x.astype(np.float64)
    turned = (result[..., first] + 1j * result[..., second]) * np.exp(1j * angle)
    result[..., first], result[..., second] = turned.real, turned.imag
    return result


def hadamard(x: Doubles | Floats, size: int) -> Doubles:
    """Runs of `size` numbers transformed in double precision; `size` 0 leaves them."""
    result = x.astype(np.float64)
    if not size:
        return result
    matrix = np.ones((1, 1))
    while len(matrix) < size:
        matrix = np.block([[matrix, matrix], [matrix, -matrix]])
    return np.asarray(result.reshape(-1, size) @ matrix / np.sqrt(size)).reshape(result.shape)


def assert_rounded(name: str, found: Floats, exact: Doubles) -> None:
    """What was found is what the format makes of what is exact."""
    if name == "q8_0":
        blocks = exact.reshape(-1, 32)
        # Half a level, and what rounding the scale to a half does to the highest.
        allowed = np.abs(blocks).max(axis=-1, keepdims=True) * (1 / 254 + 2**-11) * 1.001
        assert (np.abs(found.reshape(-1, 32) - blocks) <= allowed).all()
    else:
        assert nmse(found, exact) <= {"f32": 1e-11, "f16": 2**-22, "bf16": 2**-16}[name]


ropes = st.builds(
    RopeConfig,
    n_dims=st.sampled_from([64, 32]),
    base=st.sampled_from([1e4, 1e6]),
    scaling=st.sampled_from(["none", "linear", "yarn"]),
    factor=st.just(4.0),
    n_ctx_original=st.just(512),
    attention_factor=st.just(0.7),
)


@every_format
@settings(max_examples=20, deadline=None)
@given(
    config=ropes,
    halves=st.booleans(),
    with_factors=st.booleans(),
    page_size=st.sampled_from([1, 3, 4]),
    bounds=st.lists(st.integers(0, 12), min_size=3, max_size=3),
    seed=SEEDS,
)
def test_moved_positions_are_turned_by_their_distance(
    name: str, config: RopeConfig, halves: bool, with_factors: bool, page_size: int, bounds: list[int], seed: int
) -> None:
    target, source, end = sorted(bounds)
    generator = np.random.default_rng(seed)
    factors = generator.uniform(1, 8, config.n_dims // 2).astype(np.float32) if with_factors else None
    rope = config.parameters(halves, factors)
    cache = cache_of(name, name, page_size=page_size)
    pages = generator.permutation(12).tolist()
    before = random_contents(cache, 12, seed)
    cache.write(pages, 12, before.to_bytes())
    n = end - source
    cache.move(pages, source, target, n, rope)
    after = contents_of(cache, pages, 12)
    origin = np.arange(12)
    origin[target : target + n] = np.arange(source, end)
    np.testing.assert_array_equal(after.values, before.values[origin])
    unmoved = np.setdiff1d(np.arange(12), np.arange(target, target + n))
    np.testing.assert_array_equal(after.keys[unmoved], before.keys[unmoved])
    if n:
        old = decode(cache.keys.format, before.keys[source:end], 64)
        plain = hadamard(old, cache.keys.rotation).astype(np.float32)
        exact = hadamard(rotated(plain, target - source, rope), cache.keys.rotation)
        assert_rounded(name, decode(cache.keys.format, after.keys[target : target + n], 64), exact)


def test_pages_beyond_those_of_the_sequence_are_not_touched() -> None:
    cache = cache_of("f16", "f16")
    everything = list(range(12))
    before = random_contents(cache, 48, 4)
    cache.write(everything, 48, before.to_bytes())
    config = RopeConfig(64, 1e4, "none", 1.0, 512, 1.0)
    cache.move([5, 9], 3, 1, 4, config.parameters(True, None))
    after = contents_of(cache, everything, 48)
    changed = {*np.flatnonzero((after.keys != before.keys).any(axis=(1, 2, 3))).tolist()}
    # Positions 1 to 4 lie in rows 1 to 3 of page 5 and row 0 of page 9.
    assert changed == {21, 22, 23, 36}


def test_all_of_a_page_lies_together() -> None:
    cache = cache_of("f16", "q8_0", key_size=96)
    assert cache.keys.address(1) - cache.keys.address(0) == 3 * 4 * 192
    assert cache.values.address(1) - cache.values.address(0) == 3 * 4 * 34
    assert (cache.keys.page_bytes, cache.values.page_bytes) == (2 * 3 * 4 * 192, 2 * 3 * 4 * 34)
    assert cache.bytes_of(5) == 5 * 2 * 3 * (192 + 34)
