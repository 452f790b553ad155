"""Reading numbers, strings and arrays one after another from a file in memory, never beyond its end."""

import mmap
import struct
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from pyggml.errors import GGUFError

ByteOrder = Literal["little", "big"]

MAX_STRING_BYTES = 2**30
MAX_ARRAY_ELEMENTS = 2**30

_LENGTH_BYTES = 8
_SHOWN_CHARACTERS = 80


def quoted(text: str) -> str:
    """The text in quotes, its control characters escaped and its length bounded, for a message."""
    return repr(text) if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]!r}..."


class Cursor:
    """A place in the bytes of one file.

    Every method reads what stands at `offset` and moves behind it. It raises GGUFError (file, byte, what was being
    read) instead of reading beyond the end, and checks lengths and counts before it allocates anything.
    """

    def __init__(self, buffer: mmap.mmap, path: Path, byte_order: ByteOrder, offset: int) -> None:
        """Start at `offset` of the mapped file; `path` is for messages only."""
        self.path = path
        self.offset = offset
        self.size = len(buffer)
        self._buffer = buffer
        self._prefix = "<" if byte_order == "little" else ">"

    def error(self, offset: int, problem: str) -> GGUFError:
        """An error that says where in the file the problem lies."""
        return GGUFError(f"{self.path}, byte {offset}: {problem}")

    def scalar(self, code: str, what: str) -> int | float | bool:
        """One number or truth value; `code` is its letter in the module struct."""
        layout = self._prefix + code
        n_bytes = struct.calcsize(layout)
        self._require(n_bytes, what)
        value: int | float | bool = struct.unpack_from(layout, self._buffer, self.offset)[0]
        self.offset += n_bytes
        return value

    def integer(self, code: str, what: str) -> int:
        """One integer; `code` is its letter in the module struct."""
        return int(self.scalar(code, what))

    def count(self, bytes_each: int, what: str) -> int:
        """The number, in 8 bytes, of things that follow and take at least `bytes_each`; one that cannot fit is refused.

        `what` is the plural of their name.
        """
        start = self.offset
        n_things = self.integer("Q", f"the number of {what}")
        n_left = self.size - self.offset
        if n_things * bytes_each > n_left:
            raise self.error(
                start,
                f"found {n_things} as the number of {what}, but the {n_left} bytes that are left hold at most "
                f"{n_left // bytes_each}: the file is truncated or damaged",
            )
        if n_things > MAX_ARRAY_ELEMENTS:
            raise self.error(
                start, f"found {n_things} as the number of {what}; allowed are at most {MAX_ARRAY_ELEMENTS}"
            )
        return n_things

    def string(self, what: str) -> str:
        """A length in 8 bytes, then so many bytes of UTF-8."""
        return self._strings(1, "", what)[0]

    def strings(self, what: str) -> list[str]:
        """A count in 8 bytes, then so many strings."""
        return self._strings(self.count(_LENGTH_BYTES, f"strings in {what}"), "string {} of ", what)

    def array(self, code: str, what: str) -> npt.NDArray[np.generic]:
        """A count in 8 bytes, then so many numbers or truth values.

        The result is read-only, and in the byte order of this machine.
        """
        # A byte that is neither 0 nor 1 would make an ill-formed NumPy truth value.
        dtype = np.dtype("B" if code == "?" else self._prefix + code)
        n_elements = self.count(dtype.itemsize, f"elements of {what}")
        stored = np.frombuffer(self._buffer, dtype, n_elements, self.offset) if n_elements else np.empty(0, dtype)
        result = stored != 0 if code == "?" else stored.astype(dtype.newbyteorder("="))
        result.flags.writeable = False
        self.offset += stored.nbytes
        return result

    def _strings(self, n_strings: int, nth: str, what: str) -> list[str]:
        unpack_length = struct.Struct(self._prefix + "Q").unpack_from
        buffer, size, stop = self._buffer, self.size, self.offset
        result: list[str] = []
        try:
            # The one loop that decides how fast a file opens: vocabularies have hundreds of thousands of strings.
            for _ in range(n_strings):
                start = stop + _LENGTH_BYTES
                if start > size:
                    self.offset = stop
                    self._require(_LENGTH_BYTES, f"the length of {nth.format(len(result))}{what}")
                stop = start + unpack_length(buffer, stop)[0]
                if stop > size or stop - start > MAX_STRING_BYTES:
                    raise self._bad_length(start, stop - start, f"{nth.format(len(result))}{what}")
                result.append(buffer[start:stop].decode())
        except UnicodeDecodeError as error:
            raise self.error(
                start + error.start,
                f"{nth.format(len(result))}{what} is not UTF-8: {error.reason}, "
                f"found {error.object[error.start : error.start + 4]!r}",
            ) from None
        self.offset = stop
        return result

    def _require(self, n_bytes: int, what: str) -> None:
        n_left = self.size - self.offset
        if n_bytes > n_left:
            raise self.error(
                self.offset,
                f"{what} takes {n_bytes} bytes, but only {n_left} are left: the file is truncated or damaged",
            )

    def _bad_length(self, start: int, length: int, what: str) -> GGUFError:
        n_left = self.size - start
        problem = (
            f"only {n_left} are left: the file is truncated or damaged"
            if length > n_left
            else f"allowed are at most {MAX_STRING_BYTES}"
        )
        return self.error(start - _LENGTH_BYTES, f"{what} takes {length} bytes, but {problem}")
