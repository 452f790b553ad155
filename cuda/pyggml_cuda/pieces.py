"""A matrix cut into pieces, as it travels from main memory to its place on the device."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from pyggml_cuda import pack
from pyggml_cuda.formats import TILE_ROWS, RowFormat, TileFormat, device_format
from pyggml_cuda.launch import Launch
from pyggml_cuda.pack_decoded import decode, decoded_bytes, pack_decoded
from pyggml_kernels.formats import Format, LevelFormat

#: Bytes of a piece at most.
PIECE_BYTES = 4 << 20
#: Threads that send pieces, at most, and the pieces that each has on their way.
MOST_LANES, PIECES_PER_LANE = 8, 2
#: Bytes of the device's memory that pieces on their way take at most.
PASSING_BYTES = MOST_LANES * PIECES_PER_LANE * PIECE_BYTES

Bytes = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Piece:
    """Bytes on their way: where they come from, and what becomes of them on the device."""

    n_bytes: int
    read: Callable[[Bytes], None]
    """Writes them into pinned memory."""
    target: int
    """The address that they go to."""
    pack: Callable[[int], Launch] | None = None
    """What makes tiles at `target` of the bytes at an address on the device; None if they go there as they are."""


def cut(form: Format, data: Bytes, n_rows: int, n_columns: int, target: int) -> Iterator[Piece]:
    """The pieces of a matrix, given as in a file, whose layout on the device begins at the address `target`."""
    placed = device_format(form)
    if isinstance(placed, RowFormat):
        for start in range(0, data.size, PIECE_BYTES):
            part = data[start : start + PIECE_BYTES]
            yield Piece(part.size, partial(_copy, part), target + start)
        return
    travelling = _Blocks(form, placed) if placed.packed_on_device else _Decoded(form)
    n_tiles = max(1, PIECE_BYTES // travelling.n_bytes(TILE_ROWS, n_columns))
    row_bytes, size = form.row_bytes(n_columns), pack.packed_bytes(placed, TILE_ROWS, n_columns)
    for first in range(0, n_rows, n_tiles * TILE_ROWS):
        part = data[first * row_bytes : (first + n_tiles * TILE_ROWS) * row_bytes]
        yield travelling.piece(part, n_columns, target + first // TILE_ROWS * size)


class _Blocks:
    """Rows as the file has them."""

    def __init__(self, form: Format, placed: TileFormat) -> None:
        self._form = form
        self._placed = placed

    def n_bytes(self, n_rows: int, n_columns: int) -> int:
        return n_rows * self._form.row_bytes(n_columns)

    def piece(self, rows: Bytes, n_columns: int, target: int) -> Piece:
        n_rows = rows.size // self._form.row_bytes(n_columns)

        def packing(source: int) -> Launch:
            return pack.pack(self._placed, self._form.block_size, source, target, n_rows, n_columns)

        return Piece(rows.size, partial(_copy, rows), target, packing)


class _Decoded:
    """Rows of levels and scales."""

    def __init__(self, form: Format) -> None:
        if not isinstance(form, LevelFormat):
            raise TypeError(f"{form.name} has no levels")
        self._form = form

    def n_bytes(self, n_rows: int, n_columns: int) -> int:
        return decoded_bytes(self._form, n_rows, n_columns)

    def piece(self, rows: Bytes, n_columns: int, target: int) -> Piece:
        n_rows = rows.size // self._form.row_bytes(n_columns)

        def packing(source: int) -> Launch:
            return pack_decoded(self._form, source, target, n_rows, n_columns)

        return Piece(self.n_bytes(n_rows, n_columns), partial(decode, self._form, rows, n_columns), target, packing)


def _copy(source: Bytes, target: Bytes) -> None:
    # Copying gives up the interpreter's lock.
    np.copyto(target, source)
