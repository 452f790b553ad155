"""Tokenizing and detokenizing: every id and every byte as llama.cpp has them."""

from collections.abc import Iterator, Mapping
from ctypes import c_uint16, c_uint32
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyggml.gguf import GGUFFile
from pyggml.package_data import demo_model
from pyggml.tokenizer import TextStream, Tokenizer, load_tokenizer
from pyggml.tokenizer.pre_tokenizers import PRE_TOKENIZERS
from pyggml.tokenizer.special_tokens import END_OF_GENERATION_TEXTS, TEXTS_BY_ROLE
from pyggml.tokenizer.unicode_tables import LETTERS, NUMBERS, PUNCTUATION, WHITE_SPACE, ranges
from pyggml_reference.library import library
from pyggml_reference.tokenizer import ReferenceVocabulary
from tests.difficult_texts import ANY_TEXTS, BYTES, TEXTS
from tests.vocabularies import (
    CONTROL,
    FEW_BYTES,
    MANY_BYTES,
    NORMAL,
    Tokens,
    byte_level_tokens,
    sentencepiece_tokens,
    write_vocabulary,
)


@dataclass(frozen=True)
class Pair:
    """One vocabulary, ours and llama.cpp's."""

    ours: Tokenizer
    theirs: ReferenceVocabulary
    model: str

    def check_text(self, text: str | bytes) -> None:
        for add, parse in ((False, False), (True, False), (False, True), (True, True)):
            found = self.ours.tokenize(text, add_special=add, parse_special=parse)
            assert found == self.theirs.tokenize(text, add, parse), (text, add, parse)

    def check_tokens(self) -> None:
        ours, theirs = self.ours, self.theirs
        assert ours.n_tokens == theirs.n_tokens
        for token in range(ours.n_tokens):
            assert ours.text(token).encode() == theirs.text(token)
            assert int(ours.attributes[token]) == int(theirs.attributes(token)), ours.text(token)
            assert (token in ours.end_of_generation) == theirs.is_eog(token), ours.text(token)
            for special in (False, True):
                assert ours.piece(token, special=special) == theirs.token_to_piece(token, special)

    def check_roles(self) -> None:
        roles = {
            **{name: self.ours.special.by_role()[name] for name in ("bos", "eos", "eot", "sep", "pad", "mask")},
            "nl": self.ours.newline,
            "fim_pre": self.ours.special.fim_prefix,
            "fim_suf": self.ours.special.fim_suffix,
            "fim_mid": self.ours.special.fim_middle,
            "fim_pad": self.ours.special.fim_pad,
            "fim_rep": self.ours.special.fim_repository,
            "fim_sep": self.ours.special.fim_separator,
        }
        assert roles == self.theirs.special_ids()
        assert (self.ours.add_bos, self.ours.add_eos) == (self.theirs.add_bos, self.theirs.add_eos)

    def check_detokenizing(self, tokens: list[int]) -> None:
        for remove, render in ((False, False), (True, False), (False, True), (True, True)):
            expected = self.theirs.detokenize(tokens, remove, render)
            found = self.ours.detokenize_bytes(tokens, remove_special=remove, render_special=render)
            assert found == expected, (tokens, remove, render)
            text = self.ours.detokenize(tokens, remove_special=remove, render_special=render)
            assert text == expected.decode(errors="replace")
        for special in (False, True):
            stream = TextStream(self.ours, special)
            parts = [stream.push(token) for token in tokens]
            pieces = b"".join(self.theirs.token_to_piece(token, special) for token in tokens)
            assert "".join(parts) + stream.finish() == pieces.decode(errors="replace")


def opened(path: Path) -> Pair:
    with GGUFFile.open(path) as file:
        return Pair(load_tokenizer(file), ReferenceVocabulary(path), file.require("tokenizer.ggml.model", str))


MADE: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "qwen2": ("gpt2", {"pre": "qwen2", "eos_token_id": 300}),
    "llama-bpe": ("gpt2", {"pre": "llama-bpe", "bos_token_id": 260, "eos_token_id": 261, "add_eos_token": True}),
    "gpt-2": ("gpt2", {"pre": "gpt-2", "add_bos_token": True, "add_space_prefix": True}),
    "smollm": ("gpt2", {"pre": "smollm", "add_bos_token": False}),
    "default": ("gpt2", {}),
    "spm": ("llama", {"add_eos_token": True, "unknown_token_id": 5}),
    "spm-bare": ("llama", {"add_space_prefix": False, "add_bos_token": False}),
}


@pytest.fixture(scope="module", params=["demo-text", *MADE])
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """The vocabulary inside the package, and small ones of every kind."""
    path = demo_model()
    if request.param in MADE:
        model, metadata = MADE[request.param]
        tokens = sentencepiece_tokens() if model == "llama" else byte_level_tokens(MANY_BYTES)
        path = write_vocabulary(tmp_path_factory.mktemp("made") / "vocabulary.gguf", model, tokens, **metadata)
    result = opened(path)
    yield result
    result.theirs.close()


SHARED_FILES = (
    *("tokenizer/ggml-vocab-qwen2.gguf", "tokenizer/ggml-vocab-llama-spm.gguf"),
    *("models/demo-text-f16.gguf", "models/stories260K.gguf"),
)


@pytest.fixture(scope="module", params=SHARED_FILES)
def real(request: pytest.FixtureRequest, shared: Path) -> Iterator[Pair]:
    """The vocabularies of real models."""
    result = opened(shared / request.param)
    yield result
    result.theirs.close()


@given(text=ANY_TEXTS)
@settings(max_examples=2500, deadline=None)
def test_texts(pair: Pair, text: str) -> None:
    pair.check_text(text)


@given(text=ANY_TEXTS)
@settings(max_examples=500, deadline=None)
def test_texts_with_real_vocabularies(real: Pair, text: str) -> None:
    real.check_text(text)


@pytest.mark.slow
@given(text=ANY_TEXTS)
@settings(max_examples=10_000, deadline=None)
def test_many_texts(pair: Pair, text: str) -> None:
    pair.check_text(text)


@pytest.mark.slow
@given(text=ANY_TEXTS)
@settings(max_examples=10_000, deadline=None)
def test_many_texts_with_real_vocabularies(real: Pair, text: str) -> None:
    real.check_text(text)


@given(text=BYTES)
@settings(max_examples=150, deadline=None)
def test_bytes_that_are_not_utf8(pair: Pair, text: bytes) -> None:
    if pair.model == "gpt2":
        # Code points above U+10FFFF end llama.cpp's process.
        text = text.translate(bytes.maketrans(b"\xf4\xf5\xf6\xf7", b"\xf3\xf3\xf8\xff"))
    pair.check_text(text)


@given(data=st.data())
@settings(max_examples=150, deadline=None)
def test_token_sequences(pair: Pair, data: st.DataObject) -> None:
    n_tokens = pair.ours.n_tokens
    tokens = (
        st.integers(0, n_tokens - 1) | st.integers(0, min(n_tokens, 600) - 1) | st.integers(n_tokens - 16, n_tokens - 1)
    )
    pair.check_detokenizing(data.draw(st.lists(tokens, max_size=16)))


@given(text=TEXTS)
@settings(max_examples=150, deadline=None)
def test_detokenizing_texts(pair: Pair, text: str) -> None:
    pair.check_detokenizing(pair.ours.tokenize(text, parse_special=True))


def test_every_token(pair: Pair) -> None:
    pair.check_tokens()
    pair.check_roles()


def test_every_token_of_real_vocabularies(real: Pair) -> None:
    real.check_tokens()
    real.check_roles()


@given(data=st.data())
@settings(max_examples=100, deadline=None)
def test_token_sequences_of_real_vocabularies(real: Pair, data: st.DataObject) -> None:
    real.check_detokenizing(data.draw(st.lists(st.integers(0, real.ours.n_tokens - 1), max_size=16)))


@pytest.mark.parametrize("name", ["qwen2", "llama-spm"])
def test_cases_of_llama_cpp(shared: Path, name: str) -> None:
    path = shared / f"tokenizer/ggml-vocab-{name}.gguf"
    texts = path.with_suffix(".gguf.inp").read_bytes().decode().split("\n__ggml_vocab_test__\n")
    lines = path.with_suffix(".gguf.out").read_text().split("\n")
    assert len(texts) == len(lines) == 47, "46 cases and what follows the last separator"
    pair = opened(path)
    for text, line in zip(texts, lines, strict=True):
        assert pair.ours.tokenize(text, add_special=False) == [int(token) for token in line.split()]
        pair.check_text(text)
    pair.theirs.close()


def test_a_long_text(real: Pair, shared: Path) -> None:
    text = (shared / "models/heldout.txt").read_text()
    tokens = real.ours.tokenize(text)
    assert tokens == real.theirs.tokenize(text, True, False)
    assert real.ours.detokenize(tokens, remove_special=True) == real.theirs.detokenize(tokens, True).decode()


@pytest.mark.parametrize("unit", ["a", " ", "\n", "é", "1", "ab ", "a\u0301"])
def test_64_kilobytes_without_words(real: Pair, unit: str) -> None:
    text = unit * (65536 // len(unit.encode()))
    assert real.ours.tokenize(text) == real.theirs.tokenize(text, True, False)


WORDS = (
    "I'll say: it's 12345 o'CLOCK!?\r\n\r\n  a1b22c333 \t x = y+~|<>^$;\n",
    "  S\u00b2\u3000好'S 't 'tis 😀😀  !!\n \n a",
    "a .b , c ' d 's 've 'll 'm't ! ? ?",
)


@pytest.mark.parametrize("name", sorted(PRE_TOKENIZERS))
def test_every_pre_tokenizer(name: str, tmp_path: Path) -> None:
    pair = opened(write_vocabulary(tmp_path / "vocabulary.gguf", "gpt2", byte_level_tokens(FEW_BYTES), pre=name))
    pair.check_roles()
    for text in WORDS:
        add_specials = (False, True) if pair.ours.bos is not None or not pair.ours.add_bos else (False,)
        for add in add_specials:
            assert pair.ours.tokenize(text, add_special=add) == pair.theirs.tokenize(text, add, False)
        pair.check_detokenizing(pair.ours.tokenize(text, add_special=False))
    pair.theirs.close()


@st.composite
def role_vocabularies(draw: st.DrawFn) -> tuple[Tokens, dict[str, Any]]:
    """Tokens with texts that mean something, never two for one role: llama.cpp's choice depends on the C++ library."""
    plain = ["a", "b", "<|plamo:eos|>", "<|channel|>", "<|start|>", "<|unused_1|>", "<unused>", "unused"]
    not_roles = [text for text in END_OF_GENERATION_TEXTS if not any(text in texts for texts in TEXTS_BY_ROLE.values())]
    texts = [f"<0x{byte:02X}>" for byte in range(12)]
    texts += draw(st.lists(st.sampled_from(plain + not_roles), unique=True))
    texts += [text for each in TEXTS_BY_ROLE.values() if (text := draw(st.none() | st.sampled_from(each))) is not None]
    types = [6] * 12 + draw(
        st.lists(st.sampled_from([0, 1, 1, 3, 3, 4, 5, 9]), min_size=len(texts), max_size=len(texts))
    )
    keys = (
        "bos",
        "eos",
        "eot",
        "eom",
        "unknown",
        "seperator",
        "padding",
        "mask",
        "fim_pre",
        "fim_pad",
        "fim_rep",
        "prefix",
    )
    metadata: dict[str, Any] = {
        f"{key}_token_id": draw(st.integers(0, len(texts) + 1)) for key in keys if draw(st.booleans())
    }
    flags = ("add_bos_token", "add_eos_token", "add_space_prefix")
    metadata |= {flag: draw(st.booleans()) for flag in flags if draw(st.booleans())}
    return Tokens(texts, types[: len(texts)]), metadata


@given(made=role_vocabularies())
@settings(max_examples=300, deadline=None)
def test_roles_and_ends_of_generation(
    made: tuple[Tokens, dict[str, Any]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    tokens, metadata = made
    path = write_vocabulary(tmp_path_factory.mktemp("roles") / "vocabulary.gguf", "llama", tokens, **metadata)
    pair = opened(path)
    pair.check_tokens()
    pair.check_roles()
    pair.theirs.close()
    path.unlink()


@pytest.mark.parametrize(
    ("metadata", "stripping"),
    [
        ({"pre": "jina-v2-de"}, "<mask>"),
        ({"pre": "gpt-2", "general__name": "A Modern-BERT"}, "[MASK]"),
        ({"pre": "gpt-2", "general__name": "Phi-3 mini"}, "<|user|>"),
        ({"pre": "gpt-2", "general__name": "my phi3"}, "</s>"),
        ({"pre": "gpt-2"}, None),
    ],
)
def test_white_space_beside_special_tokens(metadata: dict[str, Any], stripping: str | None, tmp_path: Path) -> None:
    plain = byte_level_tokens(FEW_BYTES)
    more = {"<mask>": CONTROL, "[MASK]": CONTROL, "<|user|>": CONTROL, "<|endoftext|>": NORMAL, "<user>": 4}
    tokens = Tokens([*plain.texts, *more], [*plain.types, *more.values()], merges=plain.merges)
    pair = opened(write_vocabulary(tmp_path / "vocabulary.gguf", "gpt2", tokens, **metadata))
    pair.check_tokens()
    strips = pair.ours.attributes[0].LSTRIP | pair.ours.attributes[0].RSTRIP
    assert stripping is None or pair.ours.attributes[tokens.ids()[stripping]] & strips

    @given(
        text=st.lists(st.sampled_from([*more, "</s>", "<s>", "<unk>", " ", "\n", "\t", "\xa0", "a", "1"])).map("".join)
    )
    @settings(max_examples=100, deadline=None)
    def check(text: str) -> None:
        pair.check_text(text)

    check()
    pair.theirs.close()


def test_classes_of_every_code_point() -> None:
    flags_of = library()["_Z26unicode_cpt_flags_from_cptj"]
    flags_of.restype, flags_of.argtypes = c_uint16, [c_uint32]
    found = [flags_of(code_point) for code_point in range(0x110000)]
    for table, flag in ((NUMBERS, 0x02), (LETTERS, 0x04), (PUNCTUATION, 0x20), (WHITE_SPACE, 0x100)):
        ours = [code_point for first, last in ranges(table) for code_point in range(first, last + 1)]
        assert ours == [code_point for code_point, flags in enumerate(found) if flags & flag]


def test_only_ascii_letters_fold_to_those_of_contractions() -> None:
    lower = library()["_Z15unicode_tolowerj"]
    lower.restype, lower.argtypes = c_uint32, [c_uint32]
    folding = [chr(code_point) for code_point in range(0x110000) if chr(lower(code_point)) in "stmdrevl"]
    assert "".join(folding) == "DELMRSTVdelmrstv"


@pytest.mark.slow
@pytest.mark.parametrize("pair", ["llama-bpe", "default"], indirect=True)
def test_every_code_point_between_others(pair: Pair) -> None:
    for first in range(0, 0x110000, 64):
        characters = [chr(code_point) for code_point in range(first, first + 64) if not 0xD800 <= code_point < 0xE000]
        text = "".join(f"a{each}1{each}!{each} {each}{each}\n{each}'{each}s\t" for each in characters)
        found = pair.ours.tokenize(text, add_special=False)
        assert found == pair.theirs.tokenize(text, False, False), f"U+{first:04X} to U+{first + 63:04X}"
