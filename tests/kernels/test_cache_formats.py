"""The formats of keys and values: bytes as ggml's CPU backend writes them into a cache, and back."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyggml_kernels.cache_formats import CACHE_FORMATS
from pyggml_kernels.hadamard import hadamard_size
from pyggml_reference import quants
from tests.kernels.calling import Bytes, Floats, address, normals
from tests.kernels.comparing import Guarded, assert_same_bits

every_cache_format = pytest.mark.parametrize("name", CACHE_FORMATS)
SEEDS = st.integers(0, 2**32 - 1)


def store(name: str, x: Floats) -> Bytes:
    form = CACHE_FORMATS[name]
    out = Guarded((form.row_bytes(x.size),), np.uint8)
    form.store(address(x), x.size, out.address)
    out.assert_intact()
    return out.array


def load(name: str, data: Bytes, n: int) -> Floats:
    out = Guarded((n,), np.float32)
    CACHE_FORMATS[name].load(address(data), n, out.address)
    out.assert_intact()
    return out.array


def stored_by_ggml(name: str, x: Floats) -> Bytes:
    if name == "f32":
        return np.frombuffer(x.tobytes(), np.uint8)
    return quants.encode_cpu(CACHE_FORMATS[name].format.type_id, x.reshape(1, -1)).reshape(-1)


def loaded_by_ggml(name: str, data: Bytes, n: int) -> Floats:
    return quants.dequantize(CACHE_FORMATS[name].format.type_id, data, n)


@every_cache_format
@settings(max_examples=60, deadline=None)
@given(n_blocks=st.integers(1, 20), kind=st.sampled_from(["normal", "ties", "zeros", "large", "small"]), seed=SEEDS)
def test_rows_have_the_bytes_of_ggml(name: str, n_blocks: int, kind: str, seed: int) -> None:
    generator = np.random.default_rng(seed)
    x = normals(generator, n_blocks, 32)
    if kind == "ties":  # with a 127 in each block the scale is 1, and these lie halfway between two levels
        x = np.round(x) + np.float32(0.5)
        x[np.abs(x) > 127] = 0
        x[:, 7] = -127
    elif kind in ("zeros", "large", "small"):
        # Subnormal halves among the small, and subnormal BF16 numbers; beyond 1e6 a scale would be no finite half.
        x *= np.float32({"zeros": -0.0, "large": 1e2, "small": 1e-9}[kind])
    flat = x.reshape(-1)
    data = store(name, flat)
    np.testing.assert_array_equal(data, stored_by_ggml(name, flat))
    assert_same_bits(load(name, data, flat.size), loaded_by_ggml(name, data, flat.size))


@every_cache_format
@settings(max_examples=60, deadline=None)
@given(values=st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1, max_size=64))
def test_what_is_loaded_is_what_ggml_loads_for_numbers_that_hypothesis_likes(name: str, values: list[float]) -> None:
    x = np.resize(np.array(values, np.float32), 64)
    with np.errstate(over="ignore", invalid="ignore"):
        found, expected = load(name, store(name, x), 64), loaded_by_ggml(name, stored_by_ggml(name, x), 64)
    # Where x86 cannot invert a tiny scale it writes levels of -128; times the scale, which is 0, they are zeros too.
    np.testing.assert_array_equal(found, expected)


@every_cache_format
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_number_that_is_not_finite_stays_so(name: str, bad: float) -> None:
    x = normals(np.random.default_rng(1), 3, 32)
    x[1, 5] = bad
    found = load(name, store(name, x.reshape(-1)), 96).reshape(3, 32)
    assert not np.isfinite(found[1, 5])
    assert np.isfinite(found[[0, 2]]).all()


@pytest.mark.parametrize(
    ("name", "head_size", "keys", "values"),
    [
        *[(name, 128, 0, 0) for name in ("f32", "f16", "bf16")],
        *[("q8_0", size, 0, 0) for size in (32, 96, 160)],
        *[("q8_0", 64, 64, 64), ("q8_0", 128, 128, 64), ("q8_0", 192, 64, 64), ("q8_0", 256, 256, 64)],
        ("q8_0", 384, 128, 64),
    ],
)
def test_only_quantized_heads_of_whole_64s_are_rotated(name: str, head_size: int, keys: int, values: int) -> None:
    assert hadamard_size(CACHE_FORMATS[name], head_size, largest=True) == keys
    assert hadamard_size(CACHE_FORMATS[name], head_size, largest=False) == values


def test_sizes_of_rows() -> None:
    assert [form.row_bytes(64) for form in CACHE_FORMATS.values()] == [256, 128, 128, 68]
    assert [form.quantized for form in CACHE_FORMATS.values()] == [False, False, False, True]
    with pytest.raises(ValueError, match="a row of 40 weights is no multiple of the 32 in a Q8_0 block"):
        CACHE_FORMATS["q8_0"].row_bytes(40)
