"""Bytes that are not UTF-8: kept, replaced, or cut by length."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyggml.tokenizer import utf8


@given(data=st.binary())
def test_escaping_keeps_every_byte(data: bytes) -> None:
    text = utf8.escape(data)
    assert utf8.unescape(text) == data
    assert utf8.unescape("".join(utf8.characters_by_length(text))) == data
    utf8.with_replacements(text).encode("utf-8", "surrogatepass")


@given(text=st.text(st.characters(exclude_categories=["Cs"])))
def test_valid_text_stays_as_it_is(text: str) -> None:
    assert not utf8.has_invalid_bytes(text)
    assert utf8.escape(text.encode()) == text
    assert utf8.with_replacements(text) == text
    assert utf8.characters_by_length(text) == list(text)


@pytest.mark.parametrize(
    ("data", "replaced"),
    [
        (b"a\x80b", "a\ufffdb"),
        (b"\xc3", "\ufffd"),
        (b"\xe5\xa5", "\ufffd\ufffd"),
        (b"\xe5\xa5a", "\ufffd\ufffda"),
        (b"\xc1\x81", "A"),
        (b"\xe0\x80\xaf", "/"),
        (b"\xed\xa0\x80", "\ud800"),
        (b"\xf0\x9f\x98\x80\xff", "😀\ufffd"),
        (b"\xf4\x8f\xbf\xbf\xf4\x90\x80\x80", "\U0010ffff" + "\ufffd" * 4),
        (b"\xf7\xbf\xbf\xbf\xf8", "\ufffd" * 5),
    ],
)
def test_replacing(data: bytes, replaced: str) -> None:
    assert utf8.has_invalid_bytes(utf8.escape(data))
    assert utf8.with_replacements(utf8.escape(data)) == replaced


@pytest.mark.parametrize(
    ("data", "characters"),
    [
        (b"\xc3ab", [b"\xc3a", b"b"]),
        (b"\xe5\xc3\xa9\xa9", [b"\xe5\xc3\xa9", b"\xa9"]),
        (b"\xff123\xbf4", [b"\xff123", b"\xbf", b"4"]),
        (b"1\xf0", [b"1", b"\xf0"]),
    ],
)
def test_cutting_by_length(data: bytes, characters: list[bytes]) -> None:
    assert [utf8.unescape(each) for each in utf8.characters_by_length(utf8.escape(data))] == characters
