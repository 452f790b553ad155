"""Texts that tokenizers get wrong, for hypothesis to draw from."""

from hypothesis import strategies as st

from tests.vocabularies import SPECIAL


def _words(text: str) -> list[str]:
    return text.split()


FRAGMENTS = (
    *(" ", "  ", "   ", "\t", "\n", "\r", "\r\n", "\n\n", "\v", "\f", "\x1c", "\x85", "\xa0", "\u2003", "\u2028"),
    *("\u3000", "\u180e", "\u200b", "\u200d", "\ufeff", "\0", "\x01", "\x7f", "\x9f", "\ufffd", "\u0378", "\ue000"),
    *("\uffff", "\U0010ffff", "\U000e0001", " and", " World"),
    *_words("0 1 23 456 7890 \u0663 \u00b2 \u00bd \u2167 \uff11 a Z \u00e9 \u00df \u212a \u01c5 \u02b0 the Hello ab"),
    *_words("' '' 's 'S 't 'T 'm 'M 'd 'D 're 'Re 'rE 've 'VE 'll 'lL '\u017f \u2019s 'x"),
    *_words("好 汉字 日本語 カタカナ 한국어 e\u0301 \u0301 क्षि ก็ עִברִית عربي 😀 👩\u200d👩\u200d👧 🏽 ❤\ufe0f ▁ ▁▁ Ġ"),
    *_words("! ?! ... 。 \uff0c $ + < > = ~ | ^ ` ( _ - -- / <|im_start |im_end|> <0x0A> <s s> [EMPTY_3]"),
    # Letters, digits and marks that Unicode 15.1, 16 and 17 brought.
    *_words("\U0002ebf0 \u2ffc \U00010d40 \U00010d50 \ua7cb \u1c89 \U00011bc0 \U0001e5d0 \U000323b0"),
    *(*SPECIAL, "<|endoftext|>"),
)

CHARACTERS = st.characters(exclude_categories=["Cs"])
TEXTS = st.lists(st.sampled_from(FRAGMENTS) | CHARACTERS, max_size=12).map("".join)
ANY_TEXTS = TEXTS | st.text(CHARACTERS, max_size=20) | st.text("ab é好1\n!'s ▁", max_size=20)

_LONE_BYTES = st.integers(0x80, 0xFF).map(lambda byte: bytes([byte]))
_BROKEN = st.sampled_from(
    # Truncated, overlong, a surrogate, too long.
    [b"\xc3", b"\xe2\x96", b"\xf0\x9f\x98", b"\xc1\x81", b"\xe0\x80\x80", b"\xed\xa0\x80", b"\xf8"]
)
BYTES = st.lists(st.sampled_from(FRAGMENTS).map(str.encode) | _BROKEN | _LONE_BYTES, max_size=12).map(b"".join)
"""Bytes of which few are valid UTF-8."""
