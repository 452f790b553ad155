"""Names and numbers of formats of one's own: those that ggml does not have.

A format's number in GGUF files follows from its name, so it is the same in every file, and no two users need to agree
on one. ggml counts its types from 0 and had 43 of them in 2026; it refuses larger numbers.
"""

import re
import zlib

#: The private range: 2**28 numbers that fit into 31 bits.
FIRST_PRIVATE_TYPE = 0x7000_0000
LAST_PRIVATE_TYPE = 0x7FFF_FFFF
#: Weights, and bytes, that a block has at most.
MAX_BLOCK = 65536

_NAME = re.compile(r"[A-Z][A-Z0-9_]{0,31}")


def check_private_name(name: str) -> None:
    """Raise ValueError unless a format of one's own can be named so."""
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"{name[:40]!r} is no name of a format: allowed are 1 to 32 of A to Z, 0 to 9 and _, A to Z first"
        )


def private_type_id(name: str) -> int:
    """The number in GGUF files of the format of that name: the first of the range plus 28 bits of the name's CRC-32."""
    return FIRST_PRIVATE_TYPE + (zlib.crc32(name.encode()) & (LAST_PRIVATE_TYPE - FIRST_PRIVATE_TYPE))


def is_private_type(type_id: int) -> bool:
    """Whether the number is of a format of one's own."""
    return FIRST_PRIVATE_TYPE <= type_id <= LAST_PRIVATE_TYPE
