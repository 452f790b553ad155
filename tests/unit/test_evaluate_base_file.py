"""Files of a base model's probabilities: their layout, and what is refused."""

import struct
from pathlib import Path

import numpy as np
import pytest

from pyggml.errors import EvaluationError
from pyggml.evaluate.base_file import BaseFile, BaseFileWriter
from pyggml.evaluate.chunks import cut_chunks
from pyggml.evaluate.log_probabilities import n_code_words

N_CTX, N_VOCAB, N_CHUNKS = 6, 5, 3
CHUNKS = cut_chunks([i % N_VOCAB for i in range(N_CTX * N_CHUNKS)], N_CTX, -1, 4)
WORDS = np.arange(N_CHUNKS * 2 * n_code_words(N_VOCAB), dtype=np.uint16).reshape(N_CHUNKS, 2, -1)
CONTENT = (
    b"_logits_"
    + struct.pack("<3i", N_CTX, N_VOCAB, N_CHUNKS)
    + CHUNKS.tokens.astype("<i4").tobytes()
    + WORDS.astype("<u2").tobytes()
)


def write(path: Path) -> None:
    with BaseFileWriter(path, CHUNKS, N_VOCAB) as base:
        # In another order than that of the file, as several chunks are evaluated together.
        for row in range(2):
            for chunk in range(N_CHUNKS):
                base.write(chunk, row, WORDS[chunk, row : row + 1])


def test_the_layout(tmp_path: Path) -> None:
    write(tmp_path / "base")
    assert (tmp_path / "base").read_bytes() == CONTENT
    assert list(tmp_path.iterdir()) == [tmp_path / "base"]


def test_what_was_written_is_read(tmp_path: Path) -> None:
    write(tmp_path / "base")
    base = BaseFile(tmp_path / "base")
    chunks = base.chunks(-1, 4)
    assert chunks.scored == CHUNKS.scored == range(3, 5)
    np.testing.assert_array_equal(chunks.tokens, CHUNKS.tokens)
    np.testing.assert_array_equal(base.rows((1, slice(0, 2))), WORDS[1])
    assert base.chunks(2, None).n_chunks == 2


def test_nothing_is_left_of_what_fails(tmp_path: Path) -> None:
    def fail() -> None:
        with BaseFileWriter(tmp_path / "base", CHUNKS, N_VOCAB) as base:
            base.write(0, 0, WORDS[0])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert not list(tmp_path.iterdir())


def test_a_file_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match="base: the probabilities cannot be written: No such file or directory"):
        BaseFileWriter(tmp_path / "none" / "base", CHUNKS, N_VOCAB)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no probabilities of a base model: needed is a file that --kl-divergence-base wrote"),
        (b"GGUF" + CONTENT[4:], "no probabilities of a base model"),
        (CONTENT[:15], "is truncated: it ends after 15 bytes; write it again"),
        (CONTENT[:30], "is truncated: it has 30 bytes; 3 chunks of 6 tokens and a vocabulary of 5 need"),
        (CONTENT[:-1], f"is truncated: it has {len(CONTENT) - 1} bytes; .* need {len(CONTENT)}; write it again"),
        (CONTENT + b"\0", "is damaged: it has"),
        (CONTENT[:8] + struct.pack("<3i", 6, -5, 3) + CONTENT[20:], "is damaged: it tells of 3 chunks of 6 tokens and"),
        (CONTENT[:8] + struct.pack("<3i", 2, 5, 3) + CONTENT[20:], "is damaged: it tells of 3 chunks of 2 tokens and"),
        (CONTENT[:20] + b"\5" + CONTENT[21:], "is damaged: it has tokens outside of its vocabulary of 5"),
    ],
)
def test_damaged_files(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "base").write_bytes(content)
    with pytest.raises(EvaluationError, match=message):
        BaseFile(tmp_path / "base")


def test_files_that_do_not_fit(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match="the probabilities cannot be read: No such file"):
        BaseFile(tmp_path / "none")
    write(tmp_path / "base")
    with pytest.raises(EvaluationError, match="a vocabulary of 5 tokens, and the model has 7: write the file again"):
        BaseFile(tmp_path / "base").check_vocabulary(7)
    BaseFile(tmp_path / "base").check_vocabulary(5)
