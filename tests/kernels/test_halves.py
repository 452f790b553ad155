"""IEEE halves to floats and back, by the CPU's instructions and in the integer arithmetic of the portable tier."""

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
import numpy.typing as npt
import pytest
from llvmlite import ir
from numba import types

from pyggml_kernels.jit import intrinsic
from pyggml_kernels.simd import cpu, halves
from pyggml_kernels.simd.vector import I16, load, store

Convert = Callable[[npt.NDArray[Any], npt.NDArray[Any]], None]
N_LANES = 16


def converter(kind: ir.Type, step: int, operation: Callable[..., Any]) -> Convert:
    """Applies an operation to all numbers of an array, as many at a time as `kind` holds."""

    @intrinsic
    def convert(typing_context: Any, source: Any, out: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            store(builder, arguments[1], operation(builder, load(builder, arguments[0], kind)))
            return context.get_dummy_value()

        return types.void(types.int64, types.int64), generate

    @numba.njit
    def convert_all(source: Any, out: Any) -> None:
        for i in range(0, source.size, step):
            convert(source[i:].ctypes.data, out[i:].ctypes.data)

    return convert_all  # type: ignore[no-any-return]  # Numba's functions have no types


@pytest.fixture(params=["instructions", "integers"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "integers":
        monkeypatch.setattr(halves, "converts_halves", lambda: False)
    elif not cpu.converts_halves():
        pytest.skip("this CPU has no instructions for halves")
    return str(request.param)


@pytest.mark.parametrize("n", [1, N_LANES])
def test_every_half_is_its_float(way: str, n: int) -> None:
    every = np.arange(65536, dtype=np.uint16)
    found = np.empty(65536, np.float32)
    converter(I16 if n == 1 else ir.VectorType(I16, n), n, halves.to_float)(every, found)
    with np.errstate(invalid="ignore"):
        expected = every.view(np.float16).astype(np.float32)
    same = (found.view(np.uint32) == expected.view(np.uint32)) | (np.isnan(found) & np.isnan(expected))
    assert same.all(), every[~same][:5]


def difficult_floats() -> npt.NDArray[np.float32]:
    """Every half, every tie between two and its neighbours, what is beyond the largest, and random bits."""
    with np.errstate(invalid="ignore"):
        exact = np.arange(0x7C00, dtype=np.uint16).view(np.float16).astype(np.float32)
    ties = (exact[:-1] + exact[1:]) / 2
    bits = np.concatenate([exact, ties, [np.float32(65520), np.float32(np.inf)]]).astype(np.float32).view(np.uint32)
    near = np.concatenate([bits, bits - 1, bits + 1])
    numbers = np.concatenate([near, near | 0x80000000, np.random.default_rng(0).integers(0, 2**32, 1 << 18, np.uint32)])
    return np.resize(numbers.astype(np.uint32), -(-numbers.size // N_LANES) * N_LANES).view(np.float32)


@pytest.mark.parametrize("n", [1, N_LANES])
def test_floats_are_rounded_to_the_nearest_half_ties_to_even(way: str, n: int) -> None:
    numbers = difficult_floats()
    found = np.empty(numbers.size, np.uint16)
    kind = ir.FloatType() if n == 1 else ir.VectorType(ir.FloatType(), n)
    converter(kind, n, halves.from_float)(numbers, found)
    with np.errstate(all="ignore"):
        expected = numbers.astype(np.float16).view(np.uint16)
    # A NaN has to be one, whatever its payload, of the same sign.
    nan = np.isnan(numbers)
    assert np.isnan(found[nan].view(np.float16)).all()
    np.testing.assert_array_equal(found[nan] >> 15, expected[nan] >> 15)
    np.testing.assert_array_equal(found[~nan], expected[~nan])
