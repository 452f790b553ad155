"""Matrices in pieces: together they are the matrix, and they lie on the device as it would at once."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyggml_cuda import layout, pieces
from pyggml_cuda.formats import TileFormat, device_format
from pyggml_cuda.pack import packed_bytes
from pyggml_cuda.pack_decoded import decoded_bytes
from pyggml_kernels.formats import FORMATS, Format, LevelFormat
from tests.kernels.calling import random_weights

TARGET = 1 << 20
BLOCKS = 1 << 10


def read(piece: pieces.Piece) -> npt.NDArray[np.uint8]:
    """What is sent."""
    sent = np.zeros(piece.n_bytes, np.uint8)
    piece.read(sent)
    return sent


@pytest.mark.parametrize("form", FORMATS.values(), ids=lambda each: each.name)
@settings(max_examples=5, deadline=None)
@given(n_rows=st.integers(1, 70), n_blocks=st.integers(1, 3), most=st.sampled_from([1 << 10, 1 << 14, 1 << 22]))
def test_pieces_are_the_matrix(form: Format, n_rows: int, n_blocks: int, most: int) -> None:
    n_columns = 256 * n_blocks
    data = random_weights(form, np.random.default_rng(n_rows), n_rows, n_columns).reshape(-1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pieces, "PIECE_BYTES", most)
        cut = list(pieces.cut(form, data, n_rows, n_columns, TARGET))
    placed, sent = device_format(form), [read(each) for each in cut]
    if isinstance(placed, TileFormat):
        launches = [each.pack(BLOCKS) for each in cut if each.pack]
        arguments = [each.arguments[0] for each in launches]
        assert len(arguments) == len(cut)
        source = "source" if placed.packed_on_device else "levels"
        assert {int(each[source]) for each in arguments} == {BLOCKS}
        assert [each["target"] for each in arguments] == [each.target for each in cut]
        # Only the last one may end within a tile.
        assert not any(each["n_rows"] % 16 for each in arguments[:-1])
        assert sum(int(each["n_rows"]) for each in arguments) == n_rows
        sizes = [packed_bytes(placed, int(each["n_rows"]), n_columns) for each in arguments]
    else:
        assert not any(each.pack for each in cut)
        sizes = [each.n_bytes for each in cut]
    if isinstance(placed, TileFormat) and not placed.packed_on_device:
        assert isinstance(form, LevelFormat)
        counts = [int(each["n_rows"]) for each in arguments]
        assert [each.n_bytes for each in cut] == [decoded_bytes(form, n, n_columns) for n in counts]
        levels, scales, minimums = layout.decode(form, data, n_rows, n_columns)
        split = [np.split(each, np.cumsum(counts)[:-1]) for each in (levels, scales, minimums)[: 2 + form.has_minimum]]
        sent = [np.concatenate([part.reshape(-1).view(np.uint8) for part in each]) for each in zip(*split, strict=True)]
        np.testing.assert_array_equal(np.concatenate([read(each) for each in cut]), np.concatenate(sent))
    else:
        np.testing.assert_array_equal(np.concatenate(sent), data)
    assert [each.target for each in cut] == [TARGET + sum(sizes[:i]) for i in range(len(cut))]
    # A tile of 16 rows is sent at once.
    assert max(each.n_bytes for each in cut) <= max(most, *(16 * 24 * n_columns,))


def test_a_format_without_a_layout_has_no_pieces() -> None:
    placed = TileFormat("", "", 4096, None, packed_on_device=False)  # type: ignore[arg-type]  # the form is not asked for
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pieces, "device_format", lambda form: placed)
        with pytest.raises(TypeError, match="F32 has no levels"):
            list(pieces.cut(FORMATS[0], np.zeros(4096, np.uint8), 1, 256, 0))
