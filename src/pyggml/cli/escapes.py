r"""Escapes in prompts: what `-e` turns `\n` and its kind into."""

import re

_SIMPLE = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"'": b"'", b'"': b'"', b"\\": b"\\"}
_ESCAPE = re.compile(rb"\\(?:x([0-9A-Fa-f]{2})|([nrt'\"\\]))")


def process_escapes(text: str) -> str:
    r"""Replace \n \r \t \' \" \\ and \xHH, which stands for a byte of UTF-8; leave any other backslash as it is."""

    def replacement(match: re.Match[bytes]) -> bytes:
        hexadecimal, simple = match.groups()
        return bytes.fromhex(hexadecimal.decode()) if hexadecimal else _SIMPLE[simple]

    return _ESCAPE.sub(replacement, text.encode("utf-8", errors="replace")).decode("utf-8", errors="replace")
