"""Splitting into words: nothing lost, and each family of patterns as its publishers mean it."""

import pytest
from hypothesis import given, settings

from pyggml.tokenizer.pre_tokenizers import PRE_TOKENIZERS, Splitter
from tests.difficult_texts import ANY_TEXTS

FAMILIES = ("llama-bpe", "qwen2", "gpt-2", "smollm", "default")


def split(name: str, text: str) -> list[str]:
    return Splitter(PRE_TOKENIZERS[name].templates).split(text)


@pytest.mark.parametrize("name", FAMILIES)
def test_nothing_is_lost(name: str) -> None:
    splitter = Splitter(PRE_TOKENIZERS[name].templates)

    @given(text=ANY_TEXTS)
    @settings(max_examples=300, deadline=None)
    def check(text: str) -> None:
        words = splitter.split(text)
        assert "".join(words) == text
        assert all(words)

    check()


TEXT = "I'LL say:  it's 12345.67\r\n\r\n\tx += \u00b2y!?\n "


WORDS = {
    "llama-bpe": "I|'LL| say|:| | it|'s| |123|45|.|67|\r\n\r\n|\tx| +=| |\u00b2|y|!?\n| ",
    "qwen2": "I|'LL| say|:| | it|'s| |1|2|3|4|5|.|6|7|\r\n\r\n|\tx| +=| |\u00b2|y|!?\n| ",
    "gpt-2": "I|'|LL| say|:| | it|'s| 12345|.|67|\r\n\r\n|\t|x| +=| \u00b2|y|!?|\n ",
    "smollm": "I|'|LL| say|:| | it|'s| |1|2|3|4|5|.|6|7|\r\n\r\n|\t|x| +=| |\u00b2|y|!?|\n ",
    "default": "I|'|LL| say|:| | it|'|s| |123|45|.|67|\r\n\r\n|\t|x| |+=| |\u00b2|y|!?|\n ",
}


@pytest.mark.parametrize("name", FAMILIES)
def test_families(name: str) -> None:
    assert split(name, TEXT) == WORDS[name].split("|")


@pytest.mark.parametrize("name", FAMILIES)
def test_no_words_in_nothing(name: str) -> None:
    assert split(name, "") == []


def test_classes_do_not_follow_the_version_of_python() -> None:
    # A letter since Unicode 15.1, and one since 16, which counts as no letter.
    assert split("gpt-2", "a\U0002ebf0") == ["a\U0002ebf0"]
    assert split("gpt-2", "a\u1c89") == ["a", "\u1c89"]
