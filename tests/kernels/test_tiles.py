"""Tiles hold the levels and scales of their rows of blocks, in every layout."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyggml.backend.cpu.large_pages import TileMemory
from pyggml.backend.cpu.weights import place_matrix
from pyggml_kernels.formats import FORMATS, LevelFormat, NumberFormat
from pyggml_kernels.simd.levels import PLANES
from pyggml_kernels.threads import WorkerPool
from pyggml_kernels.tiles.layout import TileLayout
from pyggml_kernels.tiles.packing import SIGN_OF_HALF, Packing
from pyggml_reference import blocks_k
from tests.kernels.block_kinds import BLOCK_KINDS
from tests.kernels.calling import Bytes, address

Integers = npt.NDArray[np.int64]
PACKED = [each for each in FORMATS.values() if isinstance(each, LevelFormat) and each.packing is not None]
NUMBERS = [each for each in FORMATS.values() if isinstance(each, NumberFormat)]


def unpack_part(part: Bytes, n_bits: int) -> Integers:
    """The levels (16, 32) of 32 columns."""
    levels, start = np.zeros((8, 16, 4), np.int64), 0
    for bits, lowest in PLANES[n_bits]:
        plane = part[start : start + 64 * bits].reshape(bits, 16, 4).astype(np.int64)
        for vector in range(8):
            index, first = (vector % 4, vector // 4 * 4) if bits == 4 else (vector * bits // 8, vector * bits % 8)
            levels[vector] |= (plane[index] >> first & (1 << bits) - 1) << lowest
        start += 64 * bits
    assert start == part.size
    return levels.transpose(1, 0, 2).reshape(16, 32)


def unpack_groups(data: Bytes) -> Integers:
    """A byte for each row and group: (16, n_groups)."""
    return data.reshape(-1, 16, 2).transpose(1, 0, 2).reshape(16, -1).astype(np.int64)


def unpack_block(block: Bytes, layout: TileLayout) -> tuple[Integers, list[Integers], list[npt.NDArray[np.uint16]]]:
    """Levels (16, columns), integer scales and minimums (16, n_groups) if there are any, and halves (16,)."""
    parts = block[: layout.level_bytes].reshape(layout.block_columns // 32, -1)
    levels = np.concatenate([unpack_part(part, layout.n_bits) for part in parts], axis=1)
    rest = block[layout.level_bytes :]
    groups = []
    if layout.integer_scales:
        groups.append(unpack_groups(rest[: layout.group_bytes]))
        rest = rest[layout.group_bytes :]
        if layout.shared_bytes:
            groups = [groups[0] & 15, groups[0] >> 4]
        elif layout.has_minimum:
            groups.append(unpack_groups(rest[: layout.minimum_bytes]))
            rest = rest[layout.minimum_bytes :]
    return levels, groups, list(rest.view(np.uint16).reshape(-1, 16))


def integer_scales(form: LevelFormat, weights: Bytes) -> list[Integers]:
    """The scales, and the minimums if there are any, of all groups of rows (n_rows, n_groups), by the reference."""
    layout, unpack = getattr(blocks_k, form.name), getattr(blocks_k, form.name.lower())
    _, *groups = unpack(weights.view(layout))
    return [np.asarray(each).reshape(len(weights), -1) for each in groups]


def stored_levels(form: LevelFormat, packing: Packing, weights: Bytes) -> Integers:
    """What the tile is to hold for each weight: the level plus the offset, or its place in the table."""
    n_rows, n = len(weights), weights.size // form.block_bytes * form.block_size
    levels = np.empty(n, np.int8)
    others = np.empty((2, n // form.group_size), np.float32)
    form.decode(address(weights), weights.size // form.block_bytes, *map(address, (levels, others[0], others[1])))
    raised = levels.astype(np.int64).reshape(n_rows, -1) + packing.offset
    table = packing.layout.table
    return np.searchsorted(np.array(table), raised) if table else raised


@pytest.mark.parametrize("form", PACKED, ids=lambda each: each.name)
@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), n_rows=st.integers(1, 40), n_blocks=st.integers(1, 5), kind=st.booleans())
def test_a_tile_holds_the_levels_and_scales_of_its_rows(
    form: LevelFormat, seed: int, n_rows: int, n_blocks: int, kind: bool
) -> None:
    packing = form.packing
    assert packing is not None
    layout, n_columns = packing.layout, n_blocks * form.block_size
    make = BLOCK_KINDS["any bits" if kind else "normal"]
    weights = make(form, np.random.default_rng(seed), n_rows, n_columns)
    placed = place_matrix(weights.reshape(-1), form, n_rows, n_columns, WorkerPool(1), TileMemory())
    n_tiles, n_tile_blocks = -(-n_rows // 16), n_columns // layout.block_columns
    tiles = placed.data.reshape(n_tiles, n_tile_blocks, layout.block_bytes)
    missing = n_tiles * 16 - n_rows
    expected = np.pad(stored_levels(form, packing, weights), ((0, missing), (0, 0)))
    integers = integer_scales(form, weights) if layout.integer_scales else []
    groups = [np.pad(each, ((0, missing), (0, 0))) & 255 for each in integers]
    fields = weights.view(form.layout)
    halves = [np.pad(fields["d"].view(np.uint16), ((0, missing), (0, 0)))]
    if layout.has_minimum:
        minimums = fields[packing.minimum_field].view(np.uint16) ^ (SIGN_OF_HALF if packing.adds_minimum else 0)
        halves.append(np.pad(minimums, ((0, missing), (0, 0))))
    for tile in range(n_tiles):
        rows = slice(16 * tile, 16 * tile + 16)
        for index in range(n_tile_blocks):
            levels, found_groups, found_halves = unpack_block(tiles[tile, index], layout)
            columns = slice(index * layout.block_columns, (index + 1) * layout.block_columns)
            np.testing.assert_array_equal(levels, expected[rows, columns])
            n_groups = layout.block_columns // layout.group_size
            assert len(found_groups) == len(groups)
            for found, wanted in zip(found_groups, groups, strict=True):
                np.testing.assert_array_equal(found, wanted[rows, index * n_groups : (index + 1) * n_groups])
            assert len(found_halves) == len(halves)
            for found_half, wanted_half in zip(found_halves, halves, strict=True):
                np.testing.assert_array_equal(found_half, wanted_half[rows, index])


@pytest.mark.parametrize("form", NUMBERS, ids=lambda each: each.name)
@pytest.mark.parametrize(("n_rows", "n_columns"), [(1, 1), (15, 7), (16, 64), (17, 33), (40, 5)])
def test_a_tile_of_floats_holds_columns(form: NumberFormat, n_rows: int, n_columns: int) -> None:
    data = np.random.default_rng(1).integers(0, 256, (n_rows, n_columns, form.block_bytes), np.uint8)
    placed = place_matrix(data.reshape(-1), form, n_rows, n_columns, WorkerPool(1), TileMemory())
    expected = np.pad(data, ((0, -n_rows % 16), (0, 0), (0, 0))).reshape(-1, 16, n_columns, form.block_bytes)
    np.testing.assert_array_equal(
        placed.data.reshape(-1, n_columns, 16, form.block_bytes), expected.transpose(0, 2, 1, 3)
    )
