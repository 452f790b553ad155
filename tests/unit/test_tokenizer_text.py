"""Text to ids and back with small vocabularies, whose ids are plain to see."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyggml.errors import TokenizerError
from pyggml.gguf import GGUFFile
from pyggml.package_data import demo_model
from pyggml.tokenizer import TextStream, Tokenizer, load_tokenizer
from tests.difficult_texts import BYTES, TEXTS
from tests.vocabularies import (
    BYTE,
    CONTROL,
    NORMAL,
    UNKNOWN,
    USER_DEFINED,
    Tokens,
    byte_level_tokens,
    write_vocabulary,
)

Make = Callable[..., Tokenizer]

PIECES = {
    **{"<unk>": UNKNOWN, "<s>": CONTROL, "</s>": CONTROL, "<|user|>": CONTROL, "[TOOL]": USER_DEFINED},
    **dict.fromkeys((f"<0x{byte:02X}>" for byte in range(256)), BYTE),
    **dict.fromkeys(("▁", "a", "b", "c", "ab", "bc", "▁a", "▁ab", "▁▁", "é"), NORMAL),
}
SCORES = {"ab": -1.0, "bc": -2.0, "▁a": -3.0, "▁ab": -0.5, "▁▁": -4.0}
SMALL = Tokens(list(PIECES), list(PIECES.values()), [SCORES.get(text, -9.0) for text in PIECES])


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> Make:
    def made(model: str, tokens: Tokens, **metadata: Any) -> Tokenizer:
        path = write_vocabulary(tmp_path_factory.mktemp("made") / "vocabulary.gguf", model, tokens, **metadata)
        with GGUFFile.open(path) as file:
            return load_tokenizer(file)

    return made


@pytest.fixture(scope="module")
def small(make: Make) -> Tokenizer:
    return make("llama", SMALL)


@pytest.fixture(scope="module")
def byte_level(make: Make) -> Tokenizer:
    return make("gpt2", byte_level_tokens(b"a1 \n"), pre="qwen2")


def texts_of(tokenizer: Tokenizer, text: str | bytes, **options: bool) -> list[str]:
    return [tokenizer.text(token) for token in tokenizer.tokenize(text, **options)]


def test_sentencepiece(small: Tokenizer) -> None:
    assert texts_of(small, "abc") == ["<s>", "▁ab", "c"]
    assert texts_of(small, "  bc", add_special=False) == ["▁▁", "▁", "bc"]
    assert texts_of(small, "é\n\0", add_special=False) == ["▁", "é", "<0x0A>", "<0x00>"]
    assert texts_of(small, "好", add_special=False) == ["▁", "<0xE5>", "<0xA5>", "<0xBD>"]
    assert texts_of(small, b"a\xc3 b", add_special=False) == ["▁a", "<0xC3>", "<0xE2>", "<0x96>", "<0x81>", "b"]
    assert texts_of(small, "", add_special=True) == ["<s>"]
    assert small.newline == SMALL.ids()["<0x0A>"]


def test_special_tokens_and_the_space_in_front(make: Make) -> None:
    text = "a</s>ab[TOOL]b"
    plain, bare = make("llama", SMALL), make("llama", SMALL, add_space_prefix=False, add_eos_token=True)
    parsed = ["▁a", "</s>", "▁ab", "[TOOL]", "▁", "b"]
    assert texts_of(plain, text, add_special=False, parse_special=True) == parsed
    assert texts_of(bare, text, parse_special=True) == ["<s>", "a", "</s>", "ab", "[TOOL]", "b", "</s>"]
    # User-defined tokens are found in any case; control tokens are then only text.
    unparsed = texts_of(plain, text)
    assert unparsed.count("[TOOL]") == 1
    assert "</s>" not in unparsed


def test_byte_level(make: Make) -> None:
    tokens = Tokens([*"abcĠ", "ab", "Ġab", "é", "abé"], [NORMAL] * 8, merges=["Ġ ab", "a b", "b c", "x", "a b"])
    tokenizer = make("gpt2", tokens, pre="gpt-2")
    assert texts_of(tokenizer, "ab ab abc") == ["ab", "Ġab", "Ġab", "c"]
    # "bc" is no token, and its characters are; the bytes of é are none.
    assert texts_of(tokenizer, "bcé") == ["b", "c"]
    assert tokenizer.detokenize_bytes([5, 6, 7]) == b" ab\xe9ab\xe9"
    assert texts_of(make("gpt2", tokens, pre="llama-bpe", add_bos_token=False), "abc ab") == ["ab", "c", "Ġab"]


def test_characters_outside_of_the_alphabet_are_named(make: Make) -> None:
    tokenizer = make("gpt2", Tokens(["a好", "b"], [NORMAL] * 2, merges=["a b"]), pre="qwen2")
    assert tokenizer.detokenize([0]) == "a[UNK_BYTE_0xe5a5bda好]"


def test_words_that_are_tokens(make: Make) -> None:
    tokens = Tokens([*"abc", "abc", "ab"], [NORMAL] * 5, merges=["a b"])
    assert texts_of(make("gpt2", tokens, pre="qwen2"), "abc") == ["ab", "c"]
    assert texts_of(make("gpt2", tokens, pre="glm4"), "abc") == ["abc"]


def test_detokenizing(make: Make) -> None:
    tokenizer = make("llama", SMALL, add_eos_token=True)
    tokens = tokenizer.tokenize("ab <|user|>c", parse_special=True)
    assert texts_of(tokenizer, "ab <|user|>c", parse_special=True) == ["<s>", "▁ab", "▁", "<|user|>", "▁", "c", "</s>"]
    assert tokenizer.detokenize(tokens) == " ab  c"
    assert tokenizer.detokenize(tokens, render_special=True) == "<s> ab <|user|> c</s>"
    assert tokenizer.detokenize(tokens, remove_special=True, render_special=True) == " ab <|user|> c"
    assert tokenizer.detokenize(tokens[1:-1]) == "ab  c"
    assert tokenizer.detokenize(np.array(tokens[1:])) == "ab  c"
    assert tokenizer.detokenize([]) == ""
    assert tokenizer.piece(tokens[0], special=True) == b"<s>"
    assert tokenizer.piece(tokens[0], special=False) == b""


def test_cleaning_of_spaces(make: Make, byte_level: Tokenizer) -> None:
    text = " ?! , 's 're 't ' x"
    clean = make("gpt2", byte_level_tokens(b"a"), pre="gpt-2")
    assert clean.detokenize(clean.tokenize(text)) == "?!,'s're 't'x"
    assert byte_level.detokenize(byte_level.tokenize(text)) == text


@given(text=TEXTS)
@settings(max_examples=100, deadline=None)
def test_text_comes_back(byte_level: Tokenizer, small: Tokenizer, text: str) -> None:
    assert byte_level.detokenize(byte_level.tokenize(text, parse_special=True), render_special=True) == text
    assert small.detokenize(small.tokenize(text, add_special=False)) == text.replace("▁", " ")


@given(data=BYTES)
@settings(max_examples=100, deadline=None)
def test_bytes_come_back(small: Tokenizer, data: bytes) -> None:
    found = small.detokenize_bytes(small.tokenize(data, add_special=False))
    # A space that a broken character swallows stays a "▁", in whole or in parts.
    space = "▁".encode()
    assert found.replace(space, b" ") == data.replace(space, b" ")


def test_errors(small: Tokenizer) -> None:
    n_tokens = len(PIECES)
    for token in (-1, n_tokens):
        match = rf"token {token} is outside of the vocabulary; allowed are 0 to {n_tokens - 1}"
        with pytest.raises(TokenizerError, match=match):
            small.detokenize([5, token])
        with pytest.raises(TokenizerError, match=match):
            small.piece(token, special=True)
        with pytest.raises(TokenizerError, match=match):
            small.text(token)
        with pytest.raises(TokenizerError, match=match):
            TextStream(small).push(token)
    with pytest.raises(TokenizerError, match=r"the text has lone surrogates, which are no characters; pass bytes"):
        small.tokenize("a\ud83d")
    assert small.tokenize(b"\xed\xa0\xbd", add_special=False)[1:] == [5 + byte for byte in b"\xed\xa0\xbd"]


def test_characters_that_cannot_be_spelled(make: Make) -> None:
    tokenizer = make("llama", Tokens(["<unk>", "<s>", "</s>", "▁", "\n"], [2, 3, 3, 1, 1], [0.0] * 5))
    assert tokenizer.newline == 4
    assert tokenizer.tokenize("\n") == [1, 3, 4]
    with pytest.raises(
        TokenizerError, match=r"the vocabulary has neither a piece for .* nor the token <0x61> to spell"
    ):
        tokenizer.tokenize("a")


@pytest.mark.parametrize(("name", "key"), [("BOS", "bos"), ("EOS", "eos")])
def test_adding_a_token_that_there_is_not(make: Make, name: str, key: str) -> None:
    tokenizer = make("gpt2", Tokens(["a", "b"], [1, 1], merges=["a b"]), pre="glm4", **{f"add_{key}_token": True})
    assert tokenizer.tokenize("a", add_special=False) == [0]
    match = (
        rf"to add {name} \(tokenizer\.ggml\.add_{key}_token\) but has no such token .*{key}_token_id\); tokenize with"
    )
    with pytest.raises(TokenizerError, match=match):
        tokenizer.tokenize("a")


def test_a_stream_holds_back_incomplete_characters_only(make: Make) -> None:
    tokenizer = make("gpt2", byte_level_tokens(b"1"), pre="qwen2")
    tokens = tokenizer.tokenize("a好😀<|im_end|>b", parse_special=True)
    stream, shown = TextStream(tokenizer), TextStream(tokenizer, special=True)
    assert [stream.push(token) for token in tokens] == ["a", "", "", "好", "", "", "", "😀", "", "b"]
    assert [shown.push(token) for token in tokens][-2:] == ["<|im_end|>", "b"]
    assert stream.finish() == ""
    assert [stream.push(token) for token in [*tokens[1:3], tokens[0]]] == ["", "", "\ufffda"]
    assert stream.push(tokens[1]) == ""
    assert stream.finish() == "\ufffd"
    assert stream.push(tokens[0]) == "a"


@given(tokens=st.lists(st.integers(0, 255)))
def test_a_stream_lags_by_less_than_a_character(byte_level: Tokenizer, tokens: list[int]) -> None:
    stream = TextStream(byte_level)
    given_so_far = ""
    for count, token in enumerate(tokens, 1):
        given_so_far += stream.push(token)
        whole = byte_level.detokenize(tokens[:count])
        assert whole.startswith(given_so_far)
        assert len(whole) - len(given_so_far) <= 1
    assert given_so_far + stream.finish() == byte_level.detokenize(tokens)


def test_what_there_is_to_know(make: Make) -> None:
    tokenizer = make("llama", SMALL, eot_token_id=3, unknown_token_id=0)
    assert tokenizer.n_tokens == len(PIECES)
    assert (tokenizer.bos, tokenizer.eos, tokenizer.eot, tokenizer.eom, tokenizer.unk) == (1, 2, 3, None, 0)
    assert tokenizer.special.by_role()["eot"] == 3
    assert tokenizer.end_of_generation == {2, 3}
    assert tokenizer.attributes[3].name == "CONTROL"
    assert tokenizer.text(SMALL.ids()["▁ab"]) == "▁ab"


def test_the_packaged_vocabulary() -> None:
    with GGUFFile.open(demo_model()) as file:
        tokenizer = load_tokenizer(file)
    assert tokenizer.detokenize(tokenizer.tokenize("Tell me a story. 讲一个故事。")) == "Tell me a story. 讲一个故事。"
    assert {tokenizer.text(token) for token in tokenizer.end_of_generation} == {"<|im_end|>", "<|endoftext|>"}
