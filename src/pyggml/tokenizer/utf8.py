"""Texts with invalid UTF-8, read as llama.cpp reads them.

Inside the tokenizer a text is a `str` in which each byte that is not valid UTF-8 stands as a lone surrogate (PEP 383,
`surrogateescape`): special tokens are found in it as in the bytes. The two kinds of vocabularies then treat such bytes
differently, hence two functions.
"""

import re

_ESCAPE = "surrogateescape"

# No check for overlong forms or surrogates. Above U+10FFFF, where llama.cpp ends the process, bytes count one by one.
_LENIENT_CHARACTER = re.compile(
    rb"[\x00-\x7f]|[\xc0-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}"
    rb"|[\xf0-\xf3][\x80-\xbf]{3}|\xf4[\x80-\x8f][\x80-\xbf]{2}|[\x80-\xff]"
)
# The first byte alone tells the length.
_CHARACTER_BY_LENGTH = re.compile(rb"[\x00-\xbf]|[\xc0-\xdf].?|[\xe0-\xef].{0,2}|[\xf0-\xff].{0,3}", re.DOTALL)

_PAYLOAD_BITS = (0x7F, 0x1F, 0x0F, 0x07)


def unescape(text: str) -> bytes:
    """The bytes that a text stands for."""
    return text.encode("utf-8", _ESCAPE)


def escape(text: bytes) -> str:
    """The text that stands for these bytes."""
    return text.decode("utf-8", _ESCAPE)


def has_invalid_bytes(text: str) -> bool:
    """Whether any byte of the text is not part of valid UTF-8."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return True
    return False


def with_replacements(text: str) -> str:
    """The text with U+FFFD for every invalid byte, but overlong forms and surrogates decoded (to lone surrogates)."""
    return "".join(_decode_leniently(match[0]) for match in _LENIENT_CHARACTER.finditer(unescape(text)))


def characters_by_length(text: str) -> list[str]:
    """The text cut into characters, each as long as its first byte says, whatever follows."""
    return [escape(match[0]) for match in _CHARACTER_BY_LENGTH.finditer(unescape(text))]


def _decode_leniently(character: bytes) -> str:
    if len(character) == 1 and character[0] >= 0x80:
        return "\ufffd"
    code_point = character[0] & _PAYLOAD_BITS[len(character) - 1]
    for byte in character[1:]:
        code_point = code_point << 6 | byte & 0x3F
    return chr(code_point)
