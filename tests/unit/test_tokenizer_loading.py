"""Vocabularies that cannot be used: each a clear error. Defaults where the file says nothing."""

import math
from pathlib import Path
from typing import Any

import pytest

from pyggml.errors import GGUFError, TokenizerError
from pyggml.gguf.fields import Fields
from pyggml.gguf.values import Value
from pyggml.tokenizer import TokenAttribute, Tokenizer, load_tokenizer
from pyggml.tokenizer.byte_level import BYTE_ALPHABET
from pyggml.tokenizer.pre_tokenizers import PRE_TOKENIZERS

BYTE_LEVEL: dict[str, Value] = {"model": "gpt2", "pre": "gpt-2", "tokens": [*BYTE_ALPHABET, "ab"], "merges": ["a b"]}
SENTENCEPIECE: dict[str, Value] = {
    "model": "llama",
    "tokens": ["<unk>", "<s>", "</s>", "a", "b", "ab", "▁"],
    "scores": [0.0, 0.0, 0.0, -1.0, -1.0, -2.0, -3.0],
    "token_type": [2, 3, 3, 1, 1, 1, 1],
}


def load(values: dict[str, Value], **changes: Any) -> Tokenizer:
    """Load a vocabulary with some values changed, or left out if None."""
    metadata = {f"tokenizer.ggml.{key}": value for key, value in {**values, **changes}.items() if value is not None}
    return load_tokenizer(Fields(Path("model.gguf"), metadata))


@pytest.mark.parametrize("key", ["model", "tokens", "merges"])
def test_missing_keys(key: str) -> None:
    with pytest.raises(GGUFError, match=rf"model\.gguf: the metadata lack the key 'tokenizer\.ggml\.{key}'"):
        load(BYTE_LEVEL, **{key: None})


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *(("model", 1), ("pre", 2), ("tokens", "a"), ("tokens", [1]), ("merges", [["a", "b"]]), ("token_type", [1.0])),
        *(("add_bos_token", 1), ("add_eos_token", "no"), ("add_space_prefix", 0), ("bos_token_id", "1")),
        ("suppress_tokens", [True]),
    ],
)
def test_values_of_the_wrong_kind(key: str, value: Any) -> None:
    with pytest.raises(GGUFError, match=rf"metadata key 'tokenizer\.ggml\.{key}' is .*; allowed is"):
        load(BYTE_LEVEL, **{key: value})


@pytest.mark.parametrize("model", ["bert", "t5", "rwkv", "no_vocab", "", "GPT2"])
def test_unsupported_kinds(model: str) -> None:
    match = rf"model\.gguf: the tokenizer \(tokenizer\.ggml\.model\) is '{model}'; supported are 'gpt2' .* and 'llama'"
    with pytest.raises(TokenizerError, match=match):
        load(BYTE_LEVEL, model=model)


def test_unsupported_pre_tokenizers() -> None:
    match = r"model\.gguf: the pre-tokenizer \(tokenizer\.ggml\.pre\) is 'kimi-k2'; supported are .*gpt-2, .*qwen2, "
    with pytest.raises(TokenizerError, match=match) as caught:
        load(BYTE_LEVEL, pre="kimi-k2")
    assert all(name in str(caught.value) for name in PRE_TOKENIZERS)


@pytest.mark.parametrize("values", [BYTE_LEVEL, SENTENCEPIECE])
def test_no_tokens(values: dict[str, Value]) -> None:
    with pytest.raises(TokenizerError, match=r"model\.gguf: the vocabulary \(tokenizer\.ggml\.tokens\) has no tokens"):
        load(values, tokens=[])


def test_two_tokens_with_one_text() -> None:
    match = r"model\.gguf: tokens 3 and 5 of tokenizer\.ggml\.tokens have the same text 'a'"
    with pytest.raises(TokenizerError, match=match):
        load(SENTENCEPIECE, tokens=["<unk>", "<s>", "</s>", "a", "b", "a", "▁"])
    with pytest.raises(TokenizerError, match=r"tokens 0 and 1 .* have the same text '\[EMPTY_1\]'"):
        load(SENTENCEPIECE, tokens=["[EMPTY_1]", "", "", "a", "b", "c", "▁"])


@pytest.mark.parametrize("key", ["scores", "token_type"])
def test_arrays_that_are_too_short(key: str) -> None:
    values = SENTENCEPIECE[key]
    assert isinstance(values, list)
    with pytest.raises(TokenizerError, match=rf"tokenizer\.ggml\.{key} has 6 elements, but there are 7 tokens"):
        load(SENTENCEPIECE, **{key: values[:-1]})
    assert load(SENTENCEPIECE, **{key: [*values, values[0]]}).tokenize("ab") == [1, 6, 5]


@pytest.mark.parametrize("score", [math.nan, "1", True])
def test_scores_that_are_no_numbers(score: Any) -> None:
    with pytest.raises(TokenizerError, match=r"tokenizer\.ggml\.scores has elements that are no numbers"):
        load(SENTENCEPIECE, scores=[score, *[0.0] * 6])


def test_scores_that_are_integers_or_missing() -> None:
    # With 32 bits 2**24 + 1 is 2**24: "ab" and "ba" are equally good, and the one on the left wins.
    tokens = ["<unk>", "<s>", "</s>", "a", "b", "ab", "ba", "▁"]
    found = load(SENTENCEPIECE, tokens=tokens, token_type=None, scores=[0, 0, 0, 0, 0, 2**24, 2**24 + 1, 0])
    assert found.tokenize("aba", add_special=False) == [7, 5, 3]
    assert load(SENTENCEPIECE, tokens=tokens, token_type=None, scores=None).tokenize("baba") == [1, 7, 6, 6]


@pytest.mark.parametrize("text", ["a", "<0x0>", "<0xGG>", "<0x0A> ", "\\n"])
def test_byte_tokens_that_name_no_byte(text: str) -> None:
    match = r"model\.gguf: token 3 is a byte token, but its text is '.*'; allowed is <0xHH>"
    with pytest.raises(TokenizerError, match=match):
        load(SENTENCEPIECE, tokens=["<unk>", "<s>", "</s>", text, "b", "ab", "▁"], token_type=[2, 3, 3, 6, 1, 1, 1])


def test_defaults_of_byte_level_vocabularies() -> None:
    tokenizer = load(BYTE_LEVEL, pre=None)
    assert (tokenizer.bos, tokenizer.eos, tokenizer.unk, tokenizer.sep, tokenizer.pad) == (11, 11, None, None, None)
    assert (tokenizer.add_bos, tokenizer.add_eos) == (False, False)
    assert tokenizer.end_of_generation == {11}
    assert set(tokenizer.attributes) == {TokenAttribute.NORMAL}
    assert tokenizer.newline == BYTE_ALPHABET.index("\u010a")
    assert load(BYTE_LEVEL, pre="").tokenize("ab") == load(BYTE_LEVEL, pre="default").tokenize("ab") == [256]
    assert load(BYTE_LEVEL, pre="glm4").bos is None
    tiny = load(BYTE_LEVEL, tokens=["a", "b"])
    assert (tiny.bos, tiny.eos, tiny.newline) == (None, None, None)


def test_defaults_of_sentencepiece_vocabularies() -> None:
    tokenizer = load(SENTENCEPIECE)
    assert (tokenizer.bos, tokenizer.eos, tokenizer.unk, tokenizer.newline) == (1, 2, 0, None)
    assert (tokenizer.add_bos, tokenizer.add_eos) == (True, False)
    assert tokenizer.end_of_generation == {2}


def test_ids_outside_of_the_vocabulary_count_as_not_given() -> None:
    tokenizer = load(
        SENTENCEPIECE, bos_token_id=7, eos_token_id=2**32 - 1, padding_token_id=-1, suppress_tokens=[3, 9, -1]
    )
    assert (tokenizer.bos, tokenizer.eos, tokenizer.pad) == (1, 2, None)
    assert list(tokenizer.suppressed) == [3]


def test_roles_by_text() -> None:
    tokens = [*(str(number) for number in range(20)), "<|endoftext|>", "<|im_end|>", "<|fim_pad|>", "<PAD>", "</s>"]
    tokenizer = load(BYTE_LEVEL, tokens=tokens)
    assert (tokenizer.eot, tokenizer.special.fim_pad) == (21, 22)
    assert tokenizer.end_of_generation == {11, 20, 21, 22, 24}
    assert load(BYTE_LEVEL, tokens=tokens, eot_token_id=3).eot == 3
    assert load(BYTE_LEVEL, tokens=tokens, middle_token_id=4, fim_mid_token_id=5).special.fim_middle == 4


def test_ends_that_end_something_smaller() -> None:
    ends = ["<|end|>", "<|return|>", "<|call|>", "<|calls|>", "<|flush|>"]
    for texts, ending in (
        (ends[:2], {0, 1}),
        (ends[:3], {1, 2}),
        ([ends[0], *ends[3:]], {1, 2}),
        (["</s>", "<|tool_response>"], {1}),
        (["</s>", "<|plamo:eos|>"], {0}),
    ):
        tokenizer = load(BYTE_LEVEL, tokens=texts, eos_token_id=None)
        assert tokenizer.end_of_generation == ending, texts
    tokenizer = load(BYTE_LEVEL, tokens=["</s>", "<|plamo:eos|>"], eos_token_id=1)
    assert tokenizer.end_of_generation == {1}
    assert tokenizer.attributes[0] is TokenAttribute.NORMAL
    assert load(BYTE_LEVEL, tokens=ends[:3]).attributes[0] is TokenAttribute.USER_DEFINED
