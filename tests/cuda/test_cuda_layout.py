"""The order of levels in tiles: taken apart as kernels do it, they are what they were."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyggml_cuda import layout
from pyggml_cuda.formats import (
    FLOATS,
    TILE_COLUMNS,
    TILE_ROWS,
    Strides,
    TileFormat,
    WideForm,
    device_format,
    quantized_form,
)
from pyggml_cuda.pack import packed_bytes
from pyggml_kernels.formats import FORMATS, Format, LevelFormat, format_named
from pyggml_reference import cuda_twins, quants
from tests.kernels.calling import normals, random_weights

LEVELS = [each for each in FORMATS.values() if isinstance(each, LevelFormat)]
#: Bits of the planes of each format that is packed on the device, and whether levels are signed.
PLANES = {
    "Q2_K": (2, 0, False),
    "Q3_K": (2, 1, True),
    "Q4_K": (4, 0, False),
    "Q5_K": (4, 1, False),
    "Q6_K": (4, 2, True),
    "Q4_0": (4, 0, True),
    "Q5_0": (4, 1, True),
    "Q8_0": (8, 0, True),
}


def operands(planes: npt.NDArray[np.uint8], base: int, extra: int) -> npt.NDArray[np.uint8]:
    """What src/planes.cuh makes of tiles' planes: registers (row tiles, tiles, register, lane, byte)."""
    words = planes.view(np.uint32).reshape(*planes.shape[:2], -1, 32, 4).swapaxes(2, 3)
    words = words.reshape(*planes.shape[:2], 32, -1)  # (row tiles, tiles, lane, word)

    def top(word: npt.NDArray[np.uint32], bits: int) -> npt.NDArray[np.uint32]:
        return word & np.uint32(0x01010101 * (0xFF00 >> bits & 0xFF))

    registers = []
    for index in range(32):
        register = top(words[..., index * base // 8] << np.uint32(base * (index % (8 // base))), base)
        if extra:
            word = words[..., 4 * base + index * extra // 8] << np.uint32(extra * (index % (8 // extra)))
            register |= top(word, extra) >> np.uint32(base)
        registers.append(register)
    return np.ascontiguousarray(np.stack(registers, axis=2)).view(np.uint8).reshape(*planes.shape[:2], 32, 32, 4)


def rows_of(registers: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Bytes by row and column, from where the tensor cores' operand a has them (src/mma.cuh)."""
    row_tiles, tiles = registers.shape[:2]
    result = np.zeros((row_tiles * TILE_ROWS, tiles * TILE_COLUMNS), np.uint8)
    for index in range(32):
        step, a = divmod(index, 4)
        for lane in range(32):
            row = lane // 4 + 8 * (a % 2)
            column = 32 * step + 16 * (a // 2) + 4 * (lane % 4)
            for byte in range(4):
                result[row::TILE_ROWS, column + byte :: TILE_COLUMNS] = registers[:, :, index, lane, byte]
    return result


@pytest.mark.parametrize("name", PLANES)
@settings(max_examples=5, deadline=None)
@given(row_tiles=st.integers(1, 3), tiles=st.integers(1, 3), seed=st.integers(0, 99))
def test_levels_come_back_from_their_planes(name: str, row_tiles: int, tiles: int, seed: int) -> None:
    base, extra, signed = PLANES[name]
    bits = base + extra
    low = -(1 << (bits - 1)) if signed else 0
    shape = (row_tiles * TILE_ROWS, tiles * TILE_COLUMNS)
    levels = np.random.default_rng(seed).integers(low, low + (1 << bits), shape).astype(np.int8)
    planes = layout.level_planes(levels, base, extra)
    assert planes.shape == (row_tiles, tiles, 512 * bits)
    found = rows_of(operands(planes, base, extra))
    np.testing.assert_array_equal(found >> (8 - bits) if not signed else found.view(np.int8) >> (8 - bits), levels)


@pytest.mark.parametrize("name", PLANES)
def test_tiles_take_no_more_memory_than_blocks(name: str) -> None:
    form = format_named(name)
    tiles = device_format(form)
    assert isinstance(tiles, TileFormat)
    assert packed_bytes(tiles, 160, 512) == 160 * form.row_bytes(512)


@pytest.mark.parametrize("form", LEVELS, ids=lambda each: each.name)
def test_decoded_tiles_hold_the_weights(form: LevelFormat) -> None:
    n_rows, n_columns = 21, 768
    data = random_weights(form, np.random.default_rng(3), n_rows, n_columns).reshape(-1)
    tiles = layout.decoded_tiles(form, data, n_rows, n_columns)
    assert tiles.shape[:2] == (2, 3)
    levels = rows_of(operands(np.ascontiguousarray(tiles[..., :4096]), 8, 0)).view(np.int8)[:n_rows]
    n_groups = TILE_COLUMNS // form.group_size
    floats = np.ascontiguousarray(tiles[..., 4096:]).view(np.float32).reshape(2, 3, 1 + form.has_minimum, 16, n_groups)
    by_row = floats.transpose(2, 0, 3, 1, 4).reshape(1 + form.has_minimum, 32, -1)[:, :n_rows]
    spread = np.repeat(by_row, form.group_size, axis=-1)
    found = spread[0] * levels.astype(np.float32) - (spread[1] if form.has_minimum else np.float32(0))
    np.testing.assert_array_equal(found.reshape(-1), form.dequantize(data))


@pytest.mark.parametrize("form", FORMATS.values(), ids=lambda each: each.name)
def test_every_format_has_a_layout(form: Format) -> None:
    assert device_format(form) == device_format(form)


def test_a_format_without_levels_or_numbers_has_none() -> None:
    with pytest.raises(TypeError, match="weights in odd have no layout on a GPU"):
        device_format(type("Odd", (), {"name": "odd"})())


@pytest.mark.parametrize("name", ["Q8_0", "Q8_1", "Q8_K"])
@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 999))
def test_the_twin_quantizes_as_ggml_does(name: str, seed: int) -> None:
    x = normals(np.random.default_rng(seed), 3, 512)
    found = cuda_twins.quantize(x, name, 32)
    type_of = {
        "Q8_0": np.dtype([("d", np.float16), ("qs", np.int8, 32)]),
        "Q8_1": np.dtype([("d", np.float16), ("s", np.float16), ("qs", np.int8, 32)]),
        "Q8_K": np.dtype([("d", np.float32), ("qs", np.int8, 256), ("bsums", np.int16, 16)]),
    }[name]
    kind = {"Q8_0": "Q8_0", "Q8_1": "Q8_1", "Q8_K": "Q8_K"}[name]
    blocks = np.stack([quants.quantize_activation(kind, row, "cpu").view(type_of) for row in x])  # type: ignore[arg-type]  # one of the three
    np.testing.assert_array_equal(found.levels, blocks["qs"].reshape(x.shape))
    per_block = type_of["qs"].shape[0] // 32
    np.testing.assert_array_equal(found.scales, np.repeat(blocks["d"].astype(np.float32), per_block, axis=-1))
    if name == "Q8_1":
        np.testing.assert_array_equal(found.sums, blocks["s"].astype(np.float32))


def test_forms_say_what_they_take() -> None:
    form = quantized_form("Q8_K", "WHOLE", 16)
    assert form.strides(3, 300) == Strides(512, 16, 64, 3 * 512, 3 * 4 * 16, 3 * 64)
    assert FLOATS.strides(3, 300) == Strides(1200, 0, 0, 3600, 0, 0)
    wide = WideForm(32)
    assert wide.strides(17, 300) == Strides(128 * 64, 64, 32 * 64, 8 * 128 * 64, 2 * 4 * 64, 2 * 32 * 64)
    assert [wide.padded_rows(n) for n in (64, 65, 129)] == [64, 128, 256]
