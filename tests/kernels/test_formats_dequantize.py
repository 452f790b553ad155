"""Every block format against ggml, bit for bit, and against gguf-py (level 0 of the numerics contract)."""

from typing import Any

import gguf
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyggml_kernels.formats import FORMATS, Format, LevelFormat, NumberFormat
from pyggml_reference import quants
from tests.kernels.comparing import Guarded, assert_same_bits

Bytes = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]

every_format = pytest.mark.parametrize("block_format", FORMATS.values(), ids=lambda each: each.name)
every_level_format = pytest.mark.parametrize(
    "block_format", [each for each in FORMATS.values() if isinstance(each, LevelFormat)], ids=lambda each: each.name
)
every_float_format = pytest.mark.parametrize(
    "block_format", [each for each in FORMATS.values() if isinstance(each, NumberFormat)], ids=lambda each: each.name
)

# Zeros of both signs, the smallest and largest subnormal and normal numbers, one, infinities, quiet and signalling NaN.
HALVES = [0x0000, 0x0001, 0x03FF, 0x0400, 0x3C00, 0x7BFF, 0x7C00, 0x7C01, 0x7E00]
HALVES += [each | 0x8000 for each in HALVES]
FILLINGS = ["random", "random", "random", 0x00, 0xFF, 0x0F, 0xF0, 0x7F, 0x80, 0x88]


def oracle(block_format: Format, data: npt.NDArray[Any]) -> Floats:
    n = data.view(np.uint8).size // block_format.block_bytes * block_format.block_size
    return quants.dequantize(block_format.type_id, data, n)


def half_fields(block_format: Format) -> list[str]:
    return [name for name in block_format.layout.names or () if block_format.layout[name] == np.float16]


@st.composite
def blocks(draw: st.DrawFn, block_format: Format) -> Bytes:
    """Blocks of random or extreme bytes; the halves in them extreme, ordinary or any."""
    n_blocks = draw(st.integers(1, 70))
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    filling = draw(st.sampled_from(FILLINGS))
    data = generator.integers(0, 256, n_blocks * block_format.block_bytes, np.uint8)
    if isinstance(filling, int):
        data[:] = filling
    structured = data.view(block_format.layout)
    for name in half_fields(block_format):
        halves = draw(st.sampled_from(["extreme", "ordinary", "any"]))
        if halves == "extreme":
            structured[name] = generator.choice(np.array(HALVES, np.uint16), n_blocks).view(np.float16)
        elif halves == "ordinary":
            structured[name] = generator.standard_normal(n_blocks).astype(np.float16)
    return data


@every_format
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_dequantize_gives_the_bits_of_ggml(block_format: Format, data: st.DataObject) -> None:
    source = data.draw(blocks(block_format))
    assert_same_bits(block_format.dequantize(source), oracle(block_format, source))


@every_level_format
def test_dequantize_gives_the_bits_of_ggml_for_every_half(block_format: Format) -> None:
    generator = np.random.default_rng(5)
    source = generator.integers(0, 256, 65536 * block_format.block_bytes, np.uint8)
    for name in half_fields(block_format):
        source.view(block_format.layout)[name] = generator.permutation(65536).astype(np.uint16).view(np.float16)
    assert_same_bits(block_format.dequantize(source), oracle(block_format, source))


# The searches of these end the process where the squares of weights overflow.
NOT_FOR_HUGE_WEIGHTS = ("IQ2_XS", "IQ2_S", "IQ3_XXS", "IQ3_S")


@pytest.mark.parametrize(
    ("block_format", "scale"),
    [
        pytest.param(each, scale, id=f"{each.name}-{scale}")
        for each in FORMATS.values()
        for scale in (1.0, 0.0, -0.0, 1e-41, 1e-7, 1e4, 1e30)
        if scale < 1e30 or each.name not in NOT_FOR_HUGE_WEIGHTS
    ],
)
def test_dequantize_gives_the_bits_of_ggml_for_quantized_weights(block_format: Format, scale: float) -> None:
    weights = np.random.default_rng(3).standard_normal((3, 1024)).astype(np.float32) * np.float32(scale)
    source = quants.quantize(block_format.type_id, weights, np.ones(1024))
    assert_same_bits(block_format.dequantize(source), oracle(block_format, source))


@every_level_format
@settings(max_examples=30, deadline=None)
@given(data=st.data(), misalignment=st.integers(0, 7))
def test_decode_writes_levels_scales_and_minimums_and_nothing_else(
    block_format: LevelFormat, data: st.DataObject, misalignment: int
) -> None:
    source = data.draw(blocks(block_format))
    moved = np.empty(source.size + misalignment, np.uint8)
    moved[misalignment:] = source
    n_blocks = source.size // block_format.block_bytes
    n_groups = n_blocks * block_format.block_size // block_format.group_size
    levels = Guarded((n_groups, block_format.group_size), np.int8)
    scales, minimums = Guarded((n_groups, 1), np.float32), Guarded((n_groups, 1), np.float32)
    address = moved[misalignment:].ctypes.data
    block_format.decode(address, n_blocks, levels.address, scales.address, minimums.address)
    for each in (levels, scales, minimums):
        each.assert_intact()
    with np.errstate(all="ignore"):
        weights = scales.array * levels.array.astype(np.float32) - minimums.array
    assert_same_bits(weights.reshape(-1), oracle(block_format, source))
    if not block_format.has_minimum:
        assert (minimums.array.view(np.uint32) == 0).all()


@every_level_format
def test_decode_of_no_blocks_writes_nothing(block_format: LevelFormat) -> None:
    source = np.zeros(block_format.block_bytes, np.uint8)
    outputs = [Guarded((block_format.block_size,), kind) for kind in (np.int8, np.float32, np.float32)]
    block_format.decode(source.ctypes.data, 0, *(each.address for each in outputs))
    for each in outputs:
        each.assert_untouched()


@every_format
@pytest.mark.parametrize("n_blocks", [0, 1, 2, 31, 32, 33, 67])
def test_dequantize_writes_its_output_and_nothing_else(block_format: Format, n_blocks: int) -> None:
    source = np.zeros((n_blocks, block_format.block_bytes), np.uint8)
    out = Guarded((n_blocks * block_format.block_size,), np.float32)
    block_format._dequantize(source.ctypes.data, n_blocks, out.address)
    out.assert_intact()
    assert_same_bits(out.array, block_format.dequantize(source))


@every_format
def test_dequantize_takes_any_shape_and_strides(block_format: Format) -> None:
    source = np.random.default_rng(1).integers(0, 256, (4, 2, block_format.block_bytes), np.uint8)
    assert_same_bits(block_format.dequantize(source[::2]), oracle(block_format, np.ascontiguousarray(source[::2])))
    assert_same_bits(
        block_format.dequantize(source.reshape(-1).view(block_format.layout)), oracle(block_format, source)
    )


@pytest.mark.parametrize(
    "block_format",
    # Of all formats only these two are not in gguf-py.
    [each for each in FORMATS.values() if each.name not in ("Q1_0", "Q2_0")],
    ids=lambda each: each.name,
)
def test_dequantize_gives_the_numbers_of_gguf_py(block_format: Format) -> None:
    generator = np.random.default_rng(2)
    source = generator.integers(0, 256, (64, block_format.block_bytes), np.uint8)
    for name in half_fields(block_format):
        source.reshape(-1).view(block_format.layout)[name] = generator.standard_normal(64).astype(np.float16)
    if isinstance(block_format, NumberFormat):
        source = generator.standard_normal(64).astype(np.float32).view(np.uint8)[: 64 * block_format.block_bytes]
    with np.errstate(all="ignore"):
        expected = gguf.quants.dequantize(source, gguf.GGMLQuantizationType(block_format.type_id)).reshape(-1)
        np.testing.assert_array_equal(block_format.dequantize(source), expected.astype(np.float32))


# --- float formats ----------------------------------------------------------------------------------------------------


def store(block_format: NumberFormat, numbers: Floats) -> Bytes:
    out = Guarded((numbers.size, block_format.block_bytes), np.uint8)
    block_format.store(numbers.ctypes.data, numbers.size, out.address)
    out.assert_intact()
    return out.array


def stored_by_ggml(block_format: NumberFormat, numbers: Floats) -> Bytes:
    if block_format.name == "F32":
        return numbers.view(np.uint8).reshape(-1, 4)
    convert = {"F16": quants.float16_from_float32, "BF16": quants.bfloat16_from_float32}[block_format.name]
    return convert(numbers).view(np.uint8).reshape(-1, 2)


@every_float_format
@settings(max_examples=60, deadline=None)
@given(bits=st.lists(st.integers(0, 2**32 - 1) | st.floats(width=32).map(lambda x: int(np.float32(x).view(np.uint32)))))
def test_store_gives_the_bits_of_ggml(block_format: NumberFormat, bits: list[int]) -> None:
    numbers = np.array(bits, np.uint32).view(np.float32)
    np.testing.assert_array_equal(store(block_format, numbers), stored_by_ggml(block_format, numbers))


@every_float_format
def test_store_gives_the_bits_of_ggml_at_every_tie_and_beside_it(block_format: NumberFormat) -> None:
    # The lowest 16 bits decide the rounding to BF16, the lowest 13 that to F16, or more of them for subnormal results.
    upper = np.arange(65536, dtype=np.uint32) << np.uint32(16)
    lower = [0x0000, 0x0001, 0x0FFF, 0x1000, 0x1001, 0x2FFF, 0x3000, 0x7FFF, 0x8000, 0x8001, 0xF000, 0xFFFF]
    numbers = (upper[:, None] | np.array(lower, np.uint32)).reshape(-1).view(np.float32)
    np.testing.assert_array_equal(store(block_format, numbers), stored_by_ggml(block_format, numbers))


@pytest.mark.parametrize("block_format", [FORMATS[1], FORMATS[30]], ids=lambda each: each.name)
def test_all_16_bit_floats_load_as_in_ggml_and_come_back(block_format: NumberFormat) -> None:
    every = np.arange(65536, dtype=np.uint16)
    floats = block_format.dequantize(every.view(np.uint8))
    assert_same_bits(floats, oracle(block_format, every))
    back = store(block_format, floats).view(np.uint16).reshape(-1)
    numbers = ~np.isnan(floats)
    np.testing.assert_array_equal(back[numbers], every[numbers])


# --- by hand ----------------------------------------------------------------------------------------------------------

HALF_ONE, HALF_TWO, MINUS_HALF = b"\x00\x3c", b"\x00\x40", b"\x00\xb8"  # 1.0, 2.0, -0.5

# The first weights of a block worked out on paper: name, bytes of the block, {index of a weight: its value}.
BY_HAND: list[tuple[str, bytes, dict[int, float]]] = [
    ("F32", b"\x00\x00\xc0\xbf", {0: -1.5}),  # sign, exponent 127, mantissa 0.5
    ("F16", b"\x00\xbe", {0: -1.5}),
    ("BF16", b"\xc0\xbf", {0: -1.5}),
    # d = 2; byte 0x3F: low half 15 -> (15 - 8) * 2 = 14, high half 3 -> (3 - 8) * 2 = -10; byte 0 gives -16 twice.
    ("Q4_0", HALF_TWO + b"\x3f" + bytes(15), {0: 14, 16: -10, 1: -16, 17: -16}),
    # d = 2, m = -0.5: 15 * 2 - 0.5, 3 * 2 - 0.5, 0 * 2 - 0.5.
    ("Q4_1", HALF_TWO + MINUS_HALF + b"\x3f" + bytes(15), {0: 29.5, 16: 5.5, 1: -0.5, 17: -0.5}),
    # d = 2; qh has bits 0 and 17: levels 15 + 16 - 16, 3 - 16, 0 - 16, 0 + 16 - 16.
    ("Q5_0", HALF_TWO + b"\x01\x00\x02\x00" + b"\x3f" + bytes(15), {0: 30, 16: -26, 1: -32, 17: 0}),
    # The same bits without the offset of 16, and m = -0.5.
    ("Q5_1", HALF_TWO + MINUS_HALF + b"\x01\x00\x02\x00\x3f" + bytes(15), {0: 61.5, 16: 5.5, 1: -0.5, 17: 31.5}),
    ("Q8_0", HALF_TWO + b"\x80\x7f\xff" + bytes(29), {0: -256, 1: 254, 2: -2, 3: 0}),
    # d = 2, dmin = -0.5. Group 0: scale 3, minimum 2 -> 6 q + 1. Group 1: scale 15, minimum 0 -> 30 q.
    # Byte 0 of qs is 0b11100100: weights 0, 32, 64, 96 have q = 0, 1, 2, 3; groups 2, 4 and 6 have scale 1, minimum 0.
    (
        "Q2_K",
        b"\x23\x0f\x01\x00\x01\x00\x01\x00"
        + bytes(8)
        + b"\xe4"
        + bytes(15)
        + b"\x02"
        + bytes(47)
        + HALF_TWO
        + MINUS_HALF,
        {0: 1, 1: 1, 16: 60, 32: 2, 64: 4, 96: 6, 128: 0},
    ),
    # d = 2. Scale 0: low half of byte 0 is 1, bits 0-1 of byte 8 are 2 -> 33 - 32 = 1. Scale 8: high half of byte 0
    # is 0, bits 4-5 of byte 8 are 3 -> 48 - 32 = 16. Scale 1: all bits 0 -> -32.
    # Weight 0: qs 3, hmask set -> 3 * 2 = 6. Weight 1: qs 0, hmask clear -> -4 * 2. Weight 16: -4 * -32 * 2 = 256.
    # Weight 128: qs byte 32 is 2, bit 4 of hmask byte 0 clear -> (2 - 4) * 16 * 2 = -64.
    (
        "Q3_K",
        b"\x01" + bytes(31) + b"\x03" + bytes(31) + b"\x02" + bytes(31) + b"\x01" + bytes(7) + b"\x32\0\0\0" + HALF_TWO,
        {0: 6, 1: -8, 16: 256, 128: -64},
    ),
    # d = 2, dmin = -0.5. Group 0: byte 0 is 0xC3: scale 3; byte 4 is 0x42: minimum 2. Group 4: byte 8 is 0x51: scale
    # 1 | 3 << 4 = 49, minimum 5 | 1 << 4 = 21. Weight 0: low half of 0x7A: 10 * 6 + 1. Weight 32: group 1, scale 0.
    # Weight 128: low half of 0x0F: 15 * 98 + 10.5.
    (
        "Q4_K",
        HALF_TWO + MINUS_HALF + b"\xc3\0\0\0\x42\0\0\0\x51\0\0\0" + b"\x7a" + bytes(63) + b"\x0f" + bytes(63),
        {0: 61, 1: 1, 32: 0, 128: 1480.5, 129: 10.5},
    ),
    # As Q4_K, with the fifth bit of weight 0 (bit 0 of qh) and of weight 128 (bit 4): 26 * 6 + 1 and 31 * 98 + 10.5.
    (
        "Q5_K",
        HALF_TWO
        + MINUS_HALF
        + b"\xc3\0\0\0\x42\0\0\0\x51\0\0\0"
        + b"\x11"
        + bytes(31)
        + b"\x7a"
        + bytes(63)
        + b"\x0f"
        + bytes(63),
        {0: 157, 1: 1, 32: 0, 128: 3048.5, 129: 10.5},
    ),
    # d = 2; scales 0, 4 and 8 are -1, 3 and 127. Weight 0: low 0xA, high bits 2: 42 - 32 = 10 -> -20. Weight 64: high
    # half 7, high bits (4-5) 1: 23 - 32 = -9 -> -54. Weight 128: all bits 0: -32 * 254.
    (
        "Q6_K",
        b"\x7a" + bytes(127) + b"\x12" + bytes(63) + b"\xff\0\0\0\x03\0\0\0\x7f" + bytes(7) + HALF_TWO,
        {0: -20, 1: 64, 64: -54, 128: -8128},
    ),
    # d = 2; byte 0x7F: index 15 is 113, index 7 is -10; index 0 is -127.
    ("IQ4_NL", HALF_TWO + b"\x7f" + bytes(15), {0: 226, 16: -20, 1: -254, 17: -254}),
    # d = 2; scales_h 0x000B: group 0 has 3, group 1 has 2; scales_l byte 0 is 0x41: scales 49 - 32 = 17, 36 - 32 = 4.
    # Weight 0: 113 * 34, weight 16: -10 * 34, weight 32: -127 * 8, weight 64 (scale -32): -127 * -64.
    (
        "IQ4_XS",
        HALF_TWO + b"\x0b\x00" + b"\x41\0\0\0" + b"\x7f" + bytes(127),
        {0: 3842, 16: -340, 32: -1016, 64: 8128},
    ),
    # d = 2. 0xBB is 187 / 256, just above 177 / 243: digits 2, 0, 1, 2, 0 -> levels 1, -1, 0, 1, -1. It is the first of
    # bytes 0-31, of bytes 32-47 and of qh (four digits). Byte 0 is five digits 0.
    (
        "TQ1_0",
        b"\xbb" + bytes(31) + b"\xbb" + bytes(15) + b"\xbb\0\0\0" + HALF_TWO,
        {0: 2, 32: -2, 64: 0, 96: 2, 128: -2, 160: 2, 176: -2, 192: 0, 240: 2, 244: -2, 248: 0, 252: 2, 1: -2},
    ),
    # d = 2; 0xE4 is 0b11100100: levels -1, 0, 1, 2, 32 weights apart.
    (
        "TQ2_0",
        b"\xe4" + bytes(31) + b"\x02" + bytes(31) + HALF_TWO,
        {0: -2, 32: 0, 64: 2, 96: 4, 128: 2, 1: -2},
    ),
    ("Q1_0", HALF_TWO + b"\x81" + bytes(15), {0: 2, 1: -2, 7: 2, 8: -2, 127: -2}),
    ("Q2_0", HALF_TWO + b"\xe4" + bytes(15), {0: -2, 1: 0, 2: 2, 3: 4, 4: -2}),
    # e = 129: 4. Byte 0x2F: code 15 is -6, code 2 is 1.
    ("MXFP4", b"\x81\x2f" + bytes(15), {0: -24, 16: 4, 1: 0}),
    # Scales 1 (exponent 7), 1.5, 2 ** -9 (subnormal), and NaN, which ggml takes as 0. Code 13 is -3, 7 is 6, 2 is 1.
    (
        "NVFP4",
        b"\x38\x3c\x01\x7f" + b"\x7d" + bytes(7) + b"\x02" + bytes(7) + b"\x07" + bytes(7) + b"\x07" + bytes(7),
        {0: -3, 8: 6, 16: 1.5, 32: 6 * 2**-9, 48: 0},
    ),
    # In all books of 8 below, run 0 is 8 eight times, run 1 is 43 and 8 seven times, run 2 is 25 twice and 8 six times.
    # d = 2; group 0 has codes 1, 2, 0, 0, of the signs of run 0 the first, so the eighth too, scale 3: 2 * 3.5 / 4.
    # Group 1 has scale 0: 2 * 0.5 / 4.
    (
        "IQ2_XXS",
        HALF_TWO + b"\x01\x02\0\0" + b"\x01\0\0\x30" + bytes(56),
        {0: -75.25, 1: 14, 7: -14, 8: 43.75, 9: 43.75, 10: 14, 32: 2},
    ),
    # d = 2; run 0 is code 1 and as above; the scale of group 0 is 3, that of group 1 is 0, that of group 2 is 1.
    (
        "IQ2_XS",
        HALF_TWO + b"\x01\x02" + bytes(62) + b"\x03\x01" + bytes(6),
        {0: -75.25, 1: 14, 7: -14, 8: 14, 16: 2, 32: 6},
    ),
    # As IQ2_XS, with all signs written out. Run 1 has code 255 and bits 3 on top: 1023, eight times 43.
    (
        "IQ2_S",
        HALF_TWO + b"\x01\xff" + bytes(30) + b"\x81" + bytes(31) + b"\x0c" + bytes(7) + b"\x03\x01" + bytes(6),
        {0: -75.25, 1: 14, 7: -14, 8: 75.25, 15: 75.25, 16: 2, 32: 6},
    ),
    # d = 2; runs of 4: code 1 is 20, 4, 4, 4, code 0 is 4 four times, code 255 is 4, 28, 52, 62. Signs as in IQ2_XXS,
    # scale 2 * 3.5 / 2; group 1 has scale 2 * 0.5 / 2.
    (
        "IQ3_XXS",
        HALF_TWO + b"\x01\x00\xff" + bytes(61) + b"\x01\0\0\x30" + bytes(28),
        {0: -70, 1: 14, 4: 14, 7: -14, 8: 14, 9: 98, 10: 182, 11: 217, 32: 4 * 0.5},
    ),
    # d = 2; code 1 is 3, 1, 1, 1; run 1 is code 255 with the ninth bit: 511 is 1, 1, 15, 15. Signs of weights 0 and 7;
    # scale 2 (2 * 3 + 1); group 1 has scale 2 (2 * 1 + 1), group 2 has 2.
    (
        "IQ3_S",
        HALF_TWO + b"\x01\xff" + bytes(62) + b"\x02" + bytes(7) + b"\x81" + bytes(31) + b"\x13" + bytes(3),
        {0: -42, 1: 14, 4: 14, 6: 210, 7: -210, 32: 6, 64: 2},
    ),
    # d = 2; run 0 is -1 eight times, run 1 is 1 and -1 seven times, run 2047 is 1 eight times. Group 0 has codes 1,
    # 2047 (bits 3 to 5 of qh are its highest), 0 and 0, scale 2 (2 * 3 + 1), shift 1/8. Group 1: scale 2, shift -1/8.
    (
        "IQ1_S",
        HALF_TWO + b"\x01\xff" + bytes(30) + b"\x38\x30" + b"\x00\x80" + bytes(12),
        {0: 15.75, 1: -12.25, 8: 15.75, 15: 15.75, 16: -12.25, 32: -2.25},
    ),
    # d = 2 is 0x4000: a 4 on top of the last scales. Run 0 is code 1, shift 1/8; run 1 is code 2047, shift -1/8; run 2
    # is code 0. Scales 2 (2 * 3 + 1), for group 1 2 (2 * 1 + 1), for group 2 2.
    (
        "IQ1_M",
        b"\x01\xff" + bytes(30) + b"\xf0" + bytes(15) + b"\x0b\0\0\0\0\0\x00\x40",
        {0: 15.75, 1: -12.25, 8: 12.25, 15: 12.25, 16: -5.25, 32: -1.75},
    ),
]


@pytest.mark.parametrize(("name", "block", "weights"), BY_HAND, ids=[name for name, *_ in BY_HAND])
def test_a_block_worked_out_by_hand(name: str, block: bytes, weights: dict[int, float]) -> None:
    block_format = next(each for each in FORMATS.values() if each.name == name)
    found = block_format.dequantize(np.frombuffer(block, np.uint8))
    assert found.size == block_format.block_size
    assert {i: float(found[i]) for i in weights} == weights


def test_every_format_has_a_block_worked_out_by_hand() -> None:
    assert {name for name, *_ in BY_HAND} == {each.name for each in FORMATS.values()}
