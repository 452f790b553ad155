"""The oracle's vocabulary handles: known ids of real vocabularies, and a toy one made on the spot."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from pyggml_reference.library import OracleError
from pyggml_reference.random_model import RandomModel, random_model, toy_vocabulary
from pyggml_reference.tokenizer import ReferenceVocabulary, TokenAttribute


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ReferenceVocabulary]:
    path = tmp_path_factory.mktemp("toy") / "toy.gguf"
    random_model(path, RandomModel())
    with ReferenceVocabulary(path) as vocabulary:
        yield vocabulary


def test_toy_vocabulary_merges_and_falls_back_to_bytes(toy: ReferenceVocabulary) -> None:
    pieces = [toy.token_to_piece(token) for token in toy.tokenize("hello and the thing é\0")]
    assert pieces == [b"hell", b"o", b" and", b" the", b" ", b"th", b"ing", b" ", b"\xc3", b"\xa9", b"\0"]
    assert toy.n_tokens == len(toy_vocabulary())
    assert (toy.add_bos, toy.add_eos) == (False, False)


def test_special_tokens_are_parsed_on_request(toy: ReferenceVocabulary) -> None:
    end = toy_vocabulary().index("<|im_end|>")
    assert toy.tokenize("<|im_end|>", parse_special=True) == [end]
    assert len(toy.tokenize("<|im_end|>", parse_special=False)) > 1
    assert toy.special("eos") == end
    assert toy.special("mask") is None
    assert toy.special_ids()["bos"] == toy_vocabulary().index("<|endoftext|>")
    assert toy.is_eog(end)
    assert not toy.is_eog(0)
    assert toy.attributes(end) == TokenAttribute.CONTROL
    assert toy.attributes(0) == TokenAttribute.NORMAL
    assert (toy.token_to_piece(end, special=True), toy.token_to_piece(end, special=False)) == (b"<|im_end|>", b"")
    assert toy.text(end) == b"<|im_end|>"
    assert toy.score(0) == 0.0


def test_detokenizing_undoes_tokenizing(toy: ReferenceVocabulary) -> None:
    text = "Once and for all: 你好, the end.<|im_end|>" * 40
    tokens = toy.tokenize(text, parse_special=True)
    assert toy.detokenize(tokens, unparse_special=True).decode() == text
    assert toy.detokenize(tokens).decode() == text.replace("<|im_end|>", "")
    assert toy.tokenize(text.encode(), parse_special=True) == tokens
    assert toy.tokenize("") == []
    assert toy.detokenize([]) == b""


def test_errors_say_what_is_wrong(toy: ReferenceVocabulary, tmp_path: Path) -> None:
    with pytest.raises(OracleError, match=f"token {toy.n_tokens} is outside of the vocabulary of {toy.n_tokens}"):
        toy.token_to_piece(toy.n_tokens)
    with pytest.raises(OracleError, match="no special token is called 'end'; known: bos, eos"):
        toy.special("end")
    with pytest.raises(OracleError, match=r"absent\.gguf: no such file"):
        ReferenceVocabulary(tmp_path / "absent.gguf")
    (tmp_path / "text.gguf").write_text("no model")
    with pytest.raises(OracleError, match=r"text\.gguf: llama\.cpp cannot load it: .*magic"):
        ReferenceVocabulary(tmp_path / "text.gguf")


def test_a_closed_vocabulary_is_refused(tmp_path: Path) -> None:
    random_model(tmp_path / "toy.gguf", RandomModel())
    vocabulary = ReferenceVocabulary(tmp_path / "toy.gguf")
    vocabulary.close()
    vocabulary.close()
    with pytest.raises(OracleError, match="the vocabulary is closed"):
        vocabulary.tokenize("a")


@pytest.mark.parametrize("name", ["ggml-vocab-qwen2", "ggml-vocab-llama-spm"])
def test_known_ids_of_real_vocabularies(shared: Path, name: str) -> None:
    folder = shared / "tokenizer"
    with (folder / f"{name}.gguf.inp").open(encoding="utf-8", newline="") as file:
        texts = file.read().split("\n__ggml_vocab_test__\n")
    lines = (folder / f"{name}.gguf.out").read_text().splitlines()
    expected = [[int(token) for token in line.split()] for line in lines]
    with ReferenceVocabulary(folder / f"{name}.gguf") as vocabulary:
        found = [vocabulary.tokenize(text) for text in texts[: len(expected)]]
    assert len(expected) == 46
    assert found == expected
