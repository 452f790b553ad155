"""Broken and hostile files: each a GGUFError that names the file, the place, what was found and what is allowed."""

import os
import socket
import struct
from pathlib import Path

import pytest

from pyggml.errors import GGUFError
from pyggml.gguf import GGUFFile, ValueType
from pyggml.gguf.cursor import MAX_ARRAY_ELEMENTS, MAX_STRING_BYTES
from tests.unit.gguf_bytes import (
    F32,
    I8,
    Q8_0,
    FileBytes,
    array,
    entry,
    every_type,
    info,
    string,
    u32,
    with_tensors,
)

MANY = 2**64 - 1
LENGTH_OF_HEADER = 24


def number(value: int) -> bytes:
    return struct.pack("<Q", value)


def refuse(path: Path, match: str) -> None:
    with pytest.raises(GGUFError, match=match) as caught:
        GGUFFile.open(path)
    assert str(caught.value).startswith(str(path))
    assert len(str(caught.value)) < len(str(path)) + 500


def whole() -> FileBytes:
    return with_tensors([("a", (4, 3), F32), ("b", (32,), Q8_0), ("c", (5,), I8)], every_type())


def test_truncated_at_every_byte(tmp_path: Path) -> None:
    """Each shorter file is refused, until only the padding behind the last tensor is missing."""
    content = whole().build()
    path = tmp_path / "file.gguf"
    n_padding = 32 - 5
    for n_bytes in range(len(content) - n_padding):
        path.write_bytes(content[:n_bytes])
        refuse(path, "truncated|empty|not a GGUF file")
    path.write_bytes(content[: len(content) - n_padding])
    GGUFFile.open(path).close()


HEADERS = {
    "magic": (FileBytes(magic=b"FUGG"), r"not a GGUF file: it starts with b'FUGG.*' instead of b'GGUF'"),
    "version 0": (FileBytes(version=0), r"byte 4: the file has version 0 of GGUF; allowed are 2 and 3; convert"),
    "version 1": (FileBytes(version=1), r"byte 4: the file has version 1 of GGUF; allowed are 2 and 3; convert"),
    "version 4": (FileBytes(version=4), r"byte 4: the file has version 4 of GGUF; .*; a newer pyggml may read it"),
    "version 4, big-endian": (FileBytes(version=4, order=">"), "version 4 of GGUF"),
    "version 2**16": (FileBytes(version=3 << 16), "version 768 of GGUF"),
    "n_tensors": (FileBytes(n_tensors=MANY), rf"byte 8: found {MANY} as the number of tensors, but the 8 bytes .* 0:"),
    "n_tensors, by one": (FileBytes(n_tensors=1), "as the number of tensors, but"),
    "n_entries": (FileBytes(n_entries=MANY), rf"byte 16: found {MANY} as the number of metadata keys"),
    "n_entries, by one": (FileBytes(n_entries=1), "found 1 as the number of metadata keys, but the 0 bytes"),
}


@pytest.mark.parametrize("case", HEADERS)
def test_header(tmp_path: Path, case: str) -> None:
    built, match = HEADERS[case]
    refuse(built.write(tmp_path), match)


def test_a_header_alone_is_sound(tmp_path: Path) -> None:
    with GGUFFile.open(FileBytes().write(tmp_path)) as file:
        assert (len(file.metadata), len(file.tensors), file.alignment) == (0, 0, 32)


ENTRIES = {
    "key size": ([number(MANY) + bytes(20)], rf"byte 24: metadata key 0 takes {MANY} bytes, but only 20 are left"),
    "empty key": ([entry("", ValueType.UINT8, bytes(10))], r"byte 24: metadata key 0 is empty"),
    "repeated key": ([u32("a", 1), u32("b", 1), u32("a", 2)], r"byte \d+: metadata key 2 repeats the key 'a'"),
    "unknown type": (
        [entry("a", 13, bytes(4))],
        r"byte 33: the value of metadata key 'a' has the unknown type 13; allowed are 0 to 12",
    ),
    "negative type": ([entry("a", 2**32 - 1, bytes(4))], "unknown type 4294967295"),
    "unknown element type": (
        [entry("a", ValueType.ARRAY, array(99, []))],
        "an element of the value of metadata key 'a' has the unknown type 99",
    ),
    "unknown inner type": (
        [entry("a", ValueType.ARRAY, array(ValueType.ARRAY, [array(99, [])]))],
        "an inner element of the value of metadata key 'a' has the unknown type 99",
    ),
    "key not UTF-8": (
        [entry(b"ab\xff\xfe", ValueType.UINT8, b"\x01")],
        r"byte 34: metadata key 0 is not UTF-8: invalid start byte, found b'\\xff\\xfe'",
    ),
    "value not UTF-8": (
        [entry("a", ValueType.STRING, string(b"\xed\xa0\x80"))],
        r"byte 45: the value of metadata key 'a' is not UTF-8: invalid continuation byte",
    ),
    "string in array not UTF-8": (
        [entry("a", ValueType.ARRAY, array(ValueType.STRING, [string("x"), string(b"y\xc3")]))],
        r"string 1 of the value of metadata key 'a' is not UTF-8: unexpected end of data, found b'\\xc3'",
    ),
    "string too long": (
        [entry("a", ValueType.STRING, number(100) + bytes(99))],
        "the value of metadata key 'a' takes 100 bytes, but only 99 are left: the file is truncated or damaged",
    ),
    "string in array too long": (
        [entry("a", ValueType.ARRAY, array(ValueType.STRING, [string("x"), number(MANY)]))],
        rf"string 1 of the value of metadata key 'a' takes {MANY} bytes, but only 0 are left",
    ),
    "no length of a string in an array": (
        [entry("a", ValueType.ARRAY, array(ValueType.STRING, [string("12345678"), b"1234"], n_values=2))],
        "the length of string 1 of the value of metadata key 'a' takes 8 bytes, but only 4 are left",
    ),
    "number cut short": ([entry("a", ValueType.FLOAT64, b"1234567")], "metadata key 'a' takes 8 bytes, but only 7"),
    "array beyond the file": (
        [entry("a", ValueType.ARRAY, array(ValueType.UINT32, [bytes(4)] * 3, n_values=4))],
        r"found 4 as the number of elements of the value of metadata key 'a', but the 12 bytes that are left .* 3:",
    ),
    "array whose bytes overflow": (
        [entry("a", ValueType.ARRAY, array(ValueType.UINT64, [], n_values=2**61))],
        r"found 2305843009213693952 as the number of elements",
    ),
    "strings beyond the file": (
        [entry("a", ValueType.ARRAY, array(ValueType.STRING, [], n_values=MANY))],
        rf"found {MANY} as the number of strings in the value of metadata key 'a', but the 0 bytes",
    ),
    "arrays beyond the file": (
        [entry("a", ValueType.ARRAY, array(ValueType.ARRAY, [bytes(12)], n_values=2))],
        r"found 2 as the number of arrays in the value of metadata key 'a', but the 12 bytes that are left .* 1:",
    ),
    "alignment 0": ([u32("general.alignment", 0)], r"'general.alignment' is 0; allowed are powers of two"),
    "alignment 13": ([u32("general.alignment", 13)], r"'general.alignment' is 13; allowed are powers of two"),
    "alignment of a wrong type": (
        [entry("general.alignment", ValueType.INT32, struct.pack("<i", 32))],
        r"'general.alignment' has type int32; allowed is uint32",
    ),
    "alignment of many": (
        [entry("general.alignment", ValueType.ARRAY, array(ValueType.UINT32, [bytes(4)]))],
        r"'general.alignment' has type array of uint32; allowed is uint32",
    ),
}


@pytest.mark.parametrize("case", ENTRIES)
def test_metadata(tmp_path: Path, case: str) -> None:
    entries, match = ENTRIES[case]
    refuse(FileBytes(entries).write(tmp_path), match)


TENSORS = {
    "name of 64 bytes": ([info("x" * 64)], r"the name of tensor 0, 'x+', has 64 bytes; allowed are 63"),
    "name beyond the file": ([number(MANY) + bytes(40)], rf"byte 24: the name of tensor 0 takes {MANY} bytes"),
    "name not UTF-8": ([info(b"\x80abc")], "byte 32: the name of tensor 0 is not UTF-8"),
    "repeated name": ([info("a"), info("b", offset=32), info("a", offset=64)], "tensor 2 repeats the name 'a'"),
    "n_dims 5": ([info("a", (1,) * 5)], "byte 33: tensor 'a' has 5 dimensions; allowed are at most 4"),
    "n_dims 2**32 - 1": ([info("a", (1,), n_dims=2**32 - 1)], "tensor 'a' has 4294967295 dimensions"),
    "negative dimension": ([info("a", (-1,))], rf"tensor 'a' has the shape \({MANY},\); allowed are at most \d+ ele"),
    "negative dimension, behind a zero": ([info("a", (0, -1))], "tensor 'a' has the shape"),
    "product of dimensions": ([info("a", (2**32, 2**32))], r"has the shape \(4294967296, 4294967296\)"),
    "product of dimensions, then a zero": ([info("a", (2**62, 2**62, 0))], "has the shape"),
    "bytes": ([info("a", (2**62,), 27)], rf"the data of tensor 'a' take bytes 64 to {2**65 + 64}, but the file ends"),
    "bytes, near 2**64": ([info("a", (4, 2**30 - 1, 2**30 + 1))], "the data of tensor 'a' take bytes 96 to 184467440"),
    "sum of bytes": (
        [info("a", (2**63 - 64,), I8), info("b", (2**63 - 64,), I8, 2**63 - 64)],
        "the data of tensor 'a' take bytes",
    ),
    "rows that are no whole blocks": (
        [info("a", (33, 32), Q8_0)],
        "tensor 'a' of type Q8_0 has rows of 33 elements; allowed are multiples of 32",
    ),
    "rows that are no whole blocks, none of them": ([info("a", (33, 0), Q8_0)], "rows of 33 elements"),
    "offset 2**64 - 1": ([info("a", offset=MANY)], rf"'a' has offset {MANY}, which is not a multiple of the alignment"),
    "offset 2**64 - 32": ([info("a", offset=2**64 - 32)], "leaves a gap behind the start of the data; allowed is 0"),
    "misaligned": ([info("a"), info("b", offset=16)], "tensor 'b' has offset 16, which is not a multiple of the .* 32"),
    "overlapping": (
        [info("a", (64,)), info("b", offset=32)],
        "tensor 'b' has offset 32, which overlaps tensor 'a'; allowed is 256",
    ),
    "the same place": ([info("a"), info("b")], "tensor 'b' has offset 0, which overlaps tensor 'a'; allowed is 32"),
    "a gap": ([info("a"), info("b", offset=64)], "tensor 'b' has offset 64, which leaves a gap behind tensor 'a'"),
    "overlapping what came before an unknown size": (
        [info("a", (64,)), info("odd", (1,), 77, 256), info("b", offset=32)],
        "tensor 'b' has offset 32, which overlaps tensor 'odd'; allowed is 256",
    ),
    "beyond the file": ([info("a", (1024,))], r"take bytes 64 to 4160, but the file ends at byte 320: it is truncated"),
    "unknown type, beyond the file": (
        [info("a", (1,), 77), info("b", (1,), 77, 2**40)],
        "the data of tensor 'b' take bytes",
    ),
}


@pytest.mark.parametrize("case", TENSORS)
def test_tensors(tmp_path: Path, case: str) -> None:
    infos, match = TENSORS[case]
    refuse(FileBytes([], infos, bytes(256)).write(tmp_path), match)


def test_one_byte_of_data_missing(tmp_path: Path) -> None:
    path = tmp_path / "file.gguf"
    path.write_bytes(with_tensors([("a", (8,), F32)]).build()[:-1])
    refuse(path, "the data of tensor 'a' take bytes 64 to 96, but the file ends at byte 95")


def test_data_aligned_otherwise_than_the_file_says(tmp_path: Path) -> None:
    built = with_tensors([("a", (3,), F32), ("b", (3,), F32)], alignment=1)
    refuse(built.write(tmp_path), "tensor 'b' has offset 12, which is not a multiple of the alignment 32")


def test_alignment_larger_than_the_file(tmp_path: Path) -> None:
    built = FileBytes([u32("general.alignment", 2**31)], [info("a")], bytes(64))
    refuse(built.write(tmp_path), "the data of tensor 'a' take bytes 2147483648 to 2147483664, but the file ends")


def sparse(path: Path, head: bytes, n_bytes: int) -> Path:
    """A file of that size which takes no room on the disk."""
    with path.open("wb") as file:
        file.write(head)
        file.truncate(n_bytes)
    return path


def test_a_string_longer_than_allowed(tmp_path: Path) -> None:
    head = FileBytes([entry("a", ValueType.STRING, number(MAX_STRING_BYTES + 1))]).build()
    path = sparse(tmp_path / "file.gguf", head, MAX_STRING_BYTES + 100)
    refuse(path, rf"byte 37: the value of metadata key 'a' takes {2**30 + 1} bytes, but allowed are at most {2**30}")


def test_an_array_longer_than_allowed(tmp_path: Path) -> None:
    value = array(ValueType.UINT8, [], n_values=MAX_ARRAY_ELEMENTS + 1)
    head = FileBytes([entry("a", ValueType.ARRAY, value)]).build()
    path = sparse(tmp_path / "file.gguf", head, MAX_ARRAY_ELEMENTS + 100)
    refuse(path, rf"byte 41: found {2**30 + 1} as the number of elements of .* 'a'; allowed are at most {2**30}")


LOOKALIKES = {
    "text": (b"# Read me\n", r"not a GGUF file: it starts with b'# Read m' instead of b'GGUF'$"),
    "short": (b"G", r"it starts with b'G' instead of b'GGUF'$"),
    "web page": (b"\n<!DOCTYPE html>", r"it looks like a web page; download the file itself"),
    "Git LFS": (b"version https://git-lfs.github.com/spec/v1\n", r"pointer of a file in Git LFS; .* git lfs pull"),
    "PyTorch": (b"PK\x03\x04" + bytes(60), r"it looks like a PyTorch checkpoint or a zip archive; convert it"),
    "old ggml": (b"tjgg\x03\x00\x00\x00", r"it has the format ggml used before GGUF; convert it"),
    "nothing behind the magic": (b"GGUF\x03\x00", r"byte 6: the file is truncated: it ends before its version"),
    "empty": (b"", r"the file is empty; needed is a GGUF file"),
}


@pytest.mark.parametrize("case", LOOKALIKES)
def test_what_is_no_gguf_file(tmp_path: Path, case: str) -> None:
    content, match = LOOKALIKES[case]
    path = tmp_path / "file.gguf"
    path.write_bytes(content)
    refuse(path, match)


def test_what_is_no_file(tmp_path: Path) -> None:
    refuse(tmp_path, r"this is a directory; needed is a GGUF file")
    refuse(tmp_path / "absent.gguf", r"there is no such file")
    refuse(tmp_path / "nul\0.gguf", r"this is no path of a file: .*embedded null (byte|character)")
    refuse(tmp_path / ("x" * 300), r"the file cannot be read: File name too long")
    (tmp_path / "file").touch()
    refuse(tmp_path / "file" / "below.gguf", r"the file cannot be read: Not a directory")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_pipes_and_sockets_are_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "pipe")
    refuse(tmp_path / "pipe", r"this is a device, pipe or socket; needed is a GGUF file")
    monkeypatch.chdir(tmp_path)  # a socket's path must be short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket")
        refuse(Path("socket"), r"this is a device, pipe or socket")


def test_a_file_that_cannot_be_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = FileBytes().write(tmp_path)

    def forbidden(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", forbidden)
    refuse(path, r"the file cannot be read: Permission denied")


def test_a_path_may_be_a_string(tmp_path: Path) -> None:
    with GGUFFile.open(str(FileBytes().write(tmp_path))) as file:
        assert file.path == tmp_path / "file.gguf"
