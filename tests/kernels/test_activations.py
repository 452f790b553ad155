"""Activations quantized as ggml's CPU backend does it, every bit (level 0 of the numerics contract)."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyggml_kernels import activations
from pyggml_kernels.jit import Kernel
from pyggml_reference import quants
from tests.kernels.comparing import Guarded, assert_same_bits

Floats = npt.NDArray[np.float32]
Name = Literal["Q8_0", "Q8_1", "Q8_K"]

KERNELS: dict[Name, Kernel] = {
    "Q8_0": activations.quantize_q8_0,
    "Q8_1": activations.quantize_q8_1,
    "Q8_K": activations.quantize_q8_k,
}
BLOCK_SIZES: dict[Name, int] = {"Q8_0": 32, "Q8_1": 32, "Q8_K": 256}
LAYOUTS: dict[Name, np.dtype[np.void]] = {
    "Q8_0": np.dtype([("d", np.float16), ("qs", np.int8, 32)]),
    "Q8_1": np.dtype([("d", np.float16), ("s", np.float16), ("qs", np.int8, 32)]),
    "Q8_K": np.dtype([("d", np.float32), ("qs", np.int8, 256), ("bsums", np.int16, 16)]),
}
# With the sizes of the groups of the weights that each is multiplied with.
CASES: list[tuple[Name, int]] = [("Q8_0", 32), ("Q8_0", 16), ("Q8_1", 32), ("Q8_K", 32), ("Q8_K", 16)]
every_case = pytest.mark.parametrize(("name", "group_size"), CASES)


@dataclass(frozen=True)
class Quantized:
    """What a kernel writes: levels, scales and shifts of blocks, sums of groups; each (n_rows, ...)."""

    levels: npt.NDArray[np.int8]
    scales: Floats
    shifts: Floats | None
    sums: npt.NDArray[np.int16]


def run(kernel: Kernel, x: Floats, outputs: list[Guarded], group_size: int, rows_per_chunk: int) -> None:
    """Run all chunks, the last first, and check that nothing is written around the outputs."""
    n_rows, n_columns = x.shape
    addresses = [each.address for each in outputs] + [0] * (4 - len(outputs))
    arguments = np.array([x.ctypes.data, n_rows, n_columns, *addresses, group_size, rows_per_chunk], np.int64)
    for chunk in reversed(range(-(-n_rows // rows_per_chunk))):
        kernel(arguments.ctypes.data, chunk, 0)
    for each in outputs:
        each.assert_intact()


def quantize(name: Name, x: Floats, group_size: int, rows_per_chunk: int = 1) -> Quantized:
    n_rows, n_columns = x.shape
    levels = Guarded((n_rows, n_columns), np.int8)
    scales, shifts = (Guarded((n_rows, n_columns // BLOCK_SIZES[name]), np.float32) for _ in range(2))
    sums = Guarded((n_rows, n_columns // group_size), np.int16)
    run(KERNELS[name], x, [levels, scales, shifts, sums], group_size, rows_per_chunk)
    if name != "Q8_1":
        shifts.assert_untouched()
    return Quantized(levels.array, scales.array, shifts.array if name == "Q8_1" else None, sums.array)


def quantized_by_ggml(name: Name, x: Floats, group_size: int) -> Quantized:
    n_rows, n_columns = x.shape
    blocks = quants.quantize_activation(name, x, "cpu").view(LAYOUTS[name])
    scales = blocks["d"].astype(np.float32).reshape(n_rows, -1)
    shifts = blocks["s"].astype(np.float32).reshape(n_rows, -1) if name == "Q8_1" else None
    levels = blocks["qs"].reshape(n_rows, n_columns)
    sums = levels.reshape(n_rows, -1, group_size).sum(axis=-1, dtype=np.int16)
    if name == "Q8_K":
        of_ggml = blocks["bsums"].reshape(n_rows, -1, group_size // 16).sum(axis=-1, dtype=np.int16)
        np.testing.assert_array_equal(sums, of_ggml)
    return Quantized(levels, scales, shifts, sums)


def assert_as_ggml(name: Name, x: Floats, group_size: int, rows_per_chunk: int = 1) -> None:
    found = quantize(name, x, group_size, rows_per_chunk)
    expected = quantized_by_ggml(name, x, group_size)
    # A scale that is 0 as a half makes levels meaningless: ggml's then come from an overflowing inverse.
    of_account = np.repeat(expected.scales != 0, BLOCK_SIZES[name], axis=1)
    np.testing.assert_array_equal(found.levels[of_account], expected.levels[of_account])
    groups = of_account[:, ::group_size]
    np.testing.assert_array_equal(found.sums[groups], expected.sums[groups])
    assert_same_bits(found.scales, expected.scales)
    if found.shifts is not None and expected.shifts is not None:
        assert_same_bits(found.shifts, expected.shifts)


KINDS = ["normal", "any finite bits", "subnormal", "tiny", "huge", "zeros", "ties", "equal magnitudes", "one alone"]


def numbers(kind: str, shape: tuple[int, int], generator: np.random.Generator) -> Floats:
    """Rows of one kind; blocks of either sign of zero come among them."""
    signs = generator.choice(np.array([-1, 1], np.float32), shape)
    if kind == "any finite bits":
        bits = generator.integers(0, 2**32, shape, np.uint32)
        x = np.where((bits & 0x7F800000) == 0x7F800000, bits & 0xBFFFFFFF, bits).view(np.float32)
    elif kind == "subnormal":
        x = generator.integers(0, 0x00800000, shape, np.uint32).view(np.float32) * signs
    elif kind == "tiny":  # where the inverse of the scale overflows, or nearly
        x = (generator.standard_normal(shape) * 10 ** generator.uniform(-40, -35)).astype(np.float32)
    elif kind == "huge":
        x = (generator.uniform(0.5, 1, shape) * 3.4e38).astype(np.float32) * signs
    elif kind == "zeros":
        x = signs * np.float32(0)
    elif kind == "ties":  # the scale is 1 where a 127 is among them, and then these are halfway between levels
        x = (generator.integers(-127, 127, shape) + generator.choice([0.0, 0.5], shape)).astype(np.float32)
        x[:, :: x.shape[1] // 4] = 127
    elif kind == "equal magnitudes":
        x = signs * np.float32(abs(generator.standard_normal()) + 0.01)
    elif kind == "one alone":
        x = np.zeros(shape, np.float32)
        x[:, generator.integers(0, shape[1], 2)] = generator.standard_normal(2)
    else:
        x = (generator.standard_normal(shape) * 10 ** generator.uniform(-6, 6)).astype(np.float32)
    return np.ascontiguousarray(x, np.float32)


@every_case
@settings(max_examples=250, deadline=None)
@given(
    kind=st.sampled_from(KINDS),
    n_rows=st.integers(1, 5),
    n_blocks=st.integers(1, 5),
    rows_per_chunk=st.integers(1, 6),
    seed=st.integers(0, 2**32 - 1),
)
def test_quantization_gives_the_bits_of_ggml(
    name: Name, group_size: int, kind: str, n_rows: int, n_blocks: int, rows_per_chunk: int, seed: int
) -> None:
    shape = (n_rows, n_blocks * BLOCK_SIZES[name])
    x = numbers(kind, shape, np.random.default_rng(seed))
    with np.errstate(over="ignore"):
        assert_as_ggml(name, x, group_size, rows_per_chunk)


@every_case
@settings(max_examples=60, deadline=None)
@given(values=st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1, max_size=40))
def test_quantization_gives_the_bits_of_ggml_for_numbers_that_hypothesis_likes(
    name: Name, group_size: int, values: list[float]
) -> None:
    with np.errstate(over="ignore"):
        assert_as_ggml(name, np.resize(np.array(values, np.float32), (1, 256)), group_size)


@every_case
def test_quantization_gives_the_bits_of_ggml_for_a_million_numbers(name: Name, group_size: int) -> None:
    generator = np.random.default_rng(11)
    spread = 10 ** generator.uniform(-3, 3, (256, 16, 1))
    x = (generator.standard_normal((256, 16, 256)) * spread).astype(np.float32).reshape(256, 4096)
    assert_as_ggml(name, x, group_size, rows_per_chunk=100)


@pytest.mark.parametrize("largest", [127.0, -127.0])
def test_ties_go_to_even(largest: float) -> None:
    # The largest is 127 in magnitude, so the scale is 1 or -1 and these levels are the numbers or their negatives.
    x = np.zeros((1, 256), np.float32)
    x[0, ::32] = largest
    x[0, 1:7] = [0.5, 1.5, 2.5, -0.5, -1.5, -2.5]
    small, large = quantize("Q8_0", x, 32), quantize("Q8_K", x, 32)
    assert small.levels[0, :7].tolist() == [largest, 0, 2, 2, 0, -2, -2]
    assert (small.scales == 1).all()
    sign = -1 if largest > 0 else 1
    assert large.levels[0, :7].tolist() == [-127, *(sign * each for each in (0, 2, 2, 0, -2, -2))]
    assert (large.scales == sign).all()
    assert large.sums[0].tolist() == [-127] * 8


def test_sums_are_of_the_group_and_shifts_rounded_to_a_half() -> None:
    # Levels 127 and -1 in Q8_K, whose scale is negative, and -127 and 1 in Q8_1, whose d is 0.01.
    x = np.zeros((1, 256), np.float32)
    x[0, 0], x[0, 16] = -1.27, 0.01
    assert quantize("Q8_K", x, 16).sums[0, :3].tolist() == [-127, 1, 0]
    assert quantize("Q8_K", x, 32).sums[0, :2].tolist() == [-126, 0]
    blocks = quantize("Q8_1", x, 32)
    assert blocks.sums[0, 0] == -126
    assert blocks.shifts is not None
    assert blocks.shifts[0, 0] == np.float32(np.float16(np.float32(1.27) / np.float32(127) * np.float32(-126)))


@every_case
def test_a_block_of_zeros_has_positive_zeros_for_scales_and_sums(name: Name, group_size: int) -> None:
    found = quantize(name, np.full((1, 256), -0.0, np.float32), group_size)
    assert not found.levels.any()
    assert (found.scales.view(np.uint32) == 0).all()
    assert not found.sums.any()
    assert found.shifts is None or (found.shifts.view(np.uint32) == 0).all()


@every_case
@pytest.mark.parametrize("bad", [np.nan, -np.nan, np.inf, -np.inf])
def test_a_number_that_is_not_finite_shows_in_the_scales_of_its_block_alone(
    name: Name, group_size: int, bad: float
) -> None:
    x = np.random.default_rng(4).standard_normal((2, 768)).astype(np.float32)
    x[1, 300] = bad
    scales = quantize(name, x, group_size).scales
    columns = slice(256, 512) if name == "Q8_K" else slice(288, 320)
    expected = np.ones((2, 768), bool)
    expected[1, columns] = False
    np.testing.assert_array_equal(np.isfinite(scales), expected[:, :: BLOCK_SIZES[name]])


# --- rounding to 16 bits ----------------------------------------------------------------------------------------------


def rounded(kernel: Kernel, x: Floats, rows_per_chunk: int) -> Floats:
    out = Guarded(x.shape, np.float32)
    run(kernel, x, [out], 0, rows_per_chunk)
    return out.array


@settings(max_examples=100, deadline=None)
@given(
    n_rows=st.integers(1, 5),
    n_columns=st.integers(1, 70),
    rows_per_chunk=st.integers(1, 6),
    seed=st.integers(0, 2**32 - 1),
)
def test_rounding_to_16_bits_gives_the_numbers_of_ggml(
    n_rows: int, n_columns: int, rows_per_chunk: int, seed: int
) -> None:
    # Any bits, NaNs and infinities among them: half of them in the range of half-precision numbers.
    generator = np.random.default_rng(seed)
    x = generator.integers(0, 2**32, (n_rows, n_columns), np.uint32).view(np.float32)
    x[:, ::2] = generator.standard_normal(x[:, ::2].shape) * 10 ** generator.uniform(-8, 5)
    halves = quants.dequantize(1, quants.float16_from_float32(x), x.size).reshape(x.shape)
    assert_same_bits(rounded(activations.round_f16, x, rows_per_chunk), halves)
    bfloats = quants.dequantize(30, quants.bfloat16_from_float32(x), x.size).reshape(x.shape)
    assert_same_bits(rounded(activations.round_bf16, x, rows_per_chunk), bfloats)


def test_rounding_to_16_bits_by_hand() -> None:
    # Halves near 1 are 2**-10 apart, BF16 numbers 2**-7; a tie goes to the even mantissa.
    x = np.array([[1 + 2**-11, 1 + 3 * 2**-11, 1 + 2**-8, 1 + 3 * 2**-8, 70000.0, -0.0, 1e-40]], np.float32)
    half = rounded(activations.round_f16, x, 1)[0].tolist()
    assert half == [1, 1 + 2**-9, 1 + 2**-8, 1 + 3 * 2**-8, np.inf, 0, 0]
    bfloat = rounded(activations.round_bf16, x, 1)[0]
    assert bfloat[:4].tolist() == [1, 1, 1, 1 + 2**-6]
    assert bfloat[4:6].tolist() == [70144, 0]
    # 1e-40 is subnormal, with the bits 0x000116C2: it stays so.
    assert bfloat[6:].view(np.uint32).tolist() == [0x00010000]
