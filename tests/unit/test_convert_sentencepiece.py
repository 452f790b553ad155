"""Vocabularies of SentencePiece: read as they were written, and refused where they are unsound."""

import re
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyggml.convert.sentencepiece_file import Piece, read_pieces
from pyggml.errors import CheckpointError
from tests.checkpoint_files import write_sentencepiece

SCORES = st.floats(-100, 0, width=32)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.text(st.characters(exclude_categories=["Cs"])), SCORES, st.integers(1, 6)), min_size=1))
def test_pieces_are_read_as_they_were_written(pieces: list[tuple[str, float, int]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tokenizer.model"
        write_sentencepiece(path, pieces)
        assert read_pieces(path) == [Piece(*each) for each in pieces]


def test_what_is_left_out_has_its_default(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.model"
    path.write_bytes(b"\x0a\x03\x0a\x01a" + b"\x11" + bytes(8))  # and a number of 8 bytes, which is passed over
    assert read_pieces(path) == [Piece("a", 0.0, 1)]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "the vocabulary of SentencePiece has no tokens"),
        (b"\x0a\x05ab", "a field of 5 bytes at byte 2; there are 2 left"),
        (b"\x0b", "a field of the unknown kind 3 at byte 1"),
        (b"\x80" * 20, "a number without an end at byte 0"),
        (b"\x0a\x02\x18\x09", "token '' is of type 9; allowed are 1 to 6"),
        (b"\x0a\x02\x15\x00", "unpack requires a buffer of 4 bytes"),
        (b"\x0a\x03\x0a\x01\xff", "'utf-8' codec can't decode"),
    ],
)
def test_unsound_files_are_refused(data: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.model"
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match=re.escape(f"{path}: ") + ".*" + re.escape(message)):
        read_pieces(path)
