"""Memory for tiles: at cache lines, zero, apart from each other."""

import mmap
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyggml.backend.cpu import large_pages
from pyggml.backend.cpu.large_pages import TileMemory


@settings(max_examples=30, deadline=None)
@given(sizes=st.lists(st.integers(0, 5000), max_size=30), region_bytes=st.sampled_from([64, 4096, 1 << 16]))
def test_pieces_are_zero_at_cache_lines_and_apart(sizes: list[int], region_bytes: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(large_pages, "_REGION_BYTES", region_bytes)
        memory = TileMemory()
        pieces = [memory.take(n) for n in sizes]
    for number, (piece, n) in enumerate(zip(pieces, sizes, strict=True)):
        assert piece.size == n
        assert not n or piece.ctypes.data % 64 == 0
        assert not piece.any()
        piece[:] = number % 255 + 1
    for number, piece in enumerate(pieces):
        assert (piece == number % 255 + 1).all()


def test_a_region_begins_at_a_large_page_and_goes_with_its_last_piece() -> None:
    piece = TileMemory().take(100)
    assert piece.ctypes.data % (1 << 21) == 0
    np.testing.assert_array_equal(piece, np.zeros(100, np.uint8))


def test_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise OSError(12, "Cannot allocate memory")

    monkeypatch.setattr(mmap, "mmap", refuse)
    with pytest.raises(MemoryError, match=r"no memory for 268435456 bytes: .*Cannot allocate memory"):
        TileMemory().take(100)


def test_more_than_an_address_holds() -> None:
    with pytest.raises(MemoryError, match="no memory for 18446744073709551616 bytes"):
        large_pages.large_zeros(1 << 64)
