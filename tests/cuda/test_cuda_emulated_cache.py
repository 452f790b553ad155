"""The cache on a GPU beside the CPU's: the same bytes for sessions, the same rows when they move."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("cupy", reason="needs CuPy, which the extra [cuda] brings")

from pyggml.backend.cpu.cache import CPUCache
from pyggml.backend.cuda.cache import CUDACache
from pyggml.backend.gpu_limits import cache_bytes
from pyggml.backend.graph import Rope
from pyggml.backend.protocol import CacheShape
from pyggml_cuda import cache, cache_rows
from pyggml_kernels.cache_formats import CACHE_FORMATS
from pyggml_kernels.hadamard import hadamard
from pyggml_reference import cuda_twins as twins
from tests.cuda.emulated_device import EmulatedDevice

RNG = np.random.default_rng(4)
PAGES = [2, 0, 3]
N = 19


@pytest.fixture(autouse=True)
def _device(monkeypatch: pytest.MonkeyPatch) -> None:
    EmulatedDevice().install(monkeypatch)


def filled(key_format: str, value_format: str) -> tuple[CPUCache, CUDACache]:
    """The same rows in both."""
    shape = CacheShape(2, 3, 64, 32, 4, 8, key_format, value_format)
    both = CPUCache(shape), CUDACache(shape, 0)
    rows = [
        twins.encode_rows(name, RNG.standard_normal((shape.n_layers, N, shape.n_kv_heads, size)).astype(np.float32))
        for name, size in ((key_format, 64), (value_format, 32))
    ]
    data = np.concatenate(rows, axis=-1).tobytes()
    for each in both:
        each.write(PAGES, N, data)
        assert each.read(PAGES, N) == data
        assert len(data) == each.bytes_of(N)
    return both


@pytest.mark.parametrize("formats", [("f16", "f32"), ("q8_0", "bf16"), ("f32", "q8_0"), ("bf16", "q8_0")])
def test_rows_move_as_on_the_cpu(formats: tuple[str, str]) -> None:
    cpu, gpu = filled(*formats)
    rope = Rope(32, True, 0.75, 1.0, 0.0, 1.0, (0.0, 0.0), np.ones(32, np.float32))
    for each in (cpu, gpu):
        each.copy_page(2, 1)
        each.move([1, 0, 3], 9, 4, 10, rope)
    key_bytes = cpu.keys.row_bytes
    found, expected = (np.frombuffer(each.read([1, 0, 3], N), np.uint8).reshape(2, N, 3, -1) for each in (gpu, cpu))
    assert np.array_equal(found[..., key_bytes:], expected[..., key_bytes:])
    keys = [twins.decode_rows(formats[0], np.ascontiguousarray(each[..., :key_bytes])) for each in (found, expected)]
    assert np.linalg.norm(keys[0] - keys[1]) < 1e-3 * np.linalg.norm(keys[1])
    assert np.array_equal(found[:, :4], expected[:, :4])


def test_formats_are_the_cpu_s() -> None:
    assert cache.CACHE_FORMATS.keys() == CACHE_FORMATS.keys()
    for name, form in cache.CACHE_FORMATS.items():
        assert form.row_bytes(96) == CACHE_FORMATS[name].row_bytes(96)
        shape = CacheShape(2, 3, 64, 32, 4, 8, name, name)
        assert cache_bytes(shape) == 2 * 3 * 4 * 8 * (form.row_bytes(64) + form.row_bytes(32))


def on_cpu(kernel: Any, x: npt.NDArray[Any], n: int, n_bytes: int, dtype: Any) -> npt.NDArray[Any]:
    """A row through a conversion."""
    out = np.zeros(n_bytes, np.uint8)
    kernel(x.ctypes.data, n, out.ctypes.data)
    return out.view(dtype)


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_rows_have_the_cpu_s_bytes(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(CACHE_FORMATS)))
    form = CACHE_FORMATS[name]
    exponent = data.draw(st.sampled_from([-45, -37.3, -20, -3, 0, 3]))
    x = (RNG.standard_normal(64) * 10.0**exponent).astype(np.float32)
    x[data.draw(st.integers(0, 64)) :] = 0
    rows = on_cpu(form.store, x, 64, form.row_bytes(64), np.uint8)
    assert np.array_equal(cache_rows.from_floats(np, x, name), rows)
    assert np.array_equal(twins.encode_rows(name, x), rows)
    floats = on_cpu(form.load, rows, 64, 256, np.float32)
    assert np.array_equal(cache_rows.to_floats(np, rows, name), floats)
    assert np.array_equal(twins.decode_rows(name, rows), floats)


@pytest.mark.parametrize("size", [64, 128])
def test_the_rotation_has_the_cpu_s_bits(size: int) -> None:
    x = RNG.standard_normal((3, 2, size)).astype(np.float32)
    expected = x.copy()
    arguments = np.array([expected.ctypes.data, 2, size], np.int64)
    for token in range(3):
        hadamard(arguments.ctypes.data, token, 0)
    found = cache_rows.hadamard(np, x, size)
    assert np.array_equal(found, expected)
    assert np.allclose(twins.rotate(x.astype(np.float64), size), expected, atol=1e-5)
    assert np.allclose(cache_rows.hadamard(np, found, size), x, atol=1e-5)
