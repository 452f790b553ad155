"""Sessions in files: what `--prompt-cache` saves.

Layout: a magic string, the length of a JSON header (u32, little-endian), the header, then the keys and values as the
cache gives them. The header names the model and the cache's formats by a fingerprint, so that a file of another model
is refused before anything is read.
"""

import json
import os
import struct
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from pyggml.errors import SessionFileError

_MAGIC = b"pyggml session 2\n"
_MAX_HEADER = 1 << 28


def write_session(path: str | os.PathLike[str], fingerprint: str, tokens: Sequence[int], data: bytes) -> None:
    """Write a session, all of it or nothing; SessionFileError if that fails."""
    target = Path(path)
    header = json.dumps({"fingerprint": fingerprint, "tokens": list(tokens), "bytes": len(data)}).encode()
    try:
        with tempfile.NamedTemporaryFile(dir=target.parent, prefix=target.name, delete=False) as file:
            temporary = Path(file.name)
            try:
                file.write(_MAGIC + struct.pack("<I", len(header)) + header + data)
                file.close()
                temporary.replace(target)
            except BaseException:
                temporary.unlink(missing_ok=True)
                raise
    except OSError as error:
        raise SessionFileError(f"{target}: the session cannot be saved: {error.strerror or error}") from error


def read_session(
    path: str | os.PathLike[str], fingerprint: str, n_ctx: int, bytes_of: Callable[[int], int]
) -> tuple[list[int], bytes]:
    """The tokens and the cache's bytes; SessionFileError for a file that `write_session` would not have written."""
    source = Path(path)
    try:
        with source.open("rb") as file:
            if file.read(len(_MAGIC)) != _MAGIC:
                raise SessionFileError(
                    f"{source}: this is no session saved by pyggml, or by an older version; remove it or name another"
                    " file"
                )
            (length,) = struct.unpack("<I", file.read(4).ljust(4, b"\xff"))
            if length > min(_MAX_HEADER, source.stat().st_size):
                raise SessionFileError(f"{source}: the session is damaged: its header cannot be {length} bytes long")
            tokens = _tokens(source, file.read(length), fingerprint, n_ctx)
            size = bytes_of(len(tokens))
            if (found := source.stat().st_size - file.tell()) != size:
                raise SessionFileError(
                    f"{source}: the session is damaged: {found} bytes of keys and values instead of {size}; remove it"
                )
            return tokens, file.read(size)
    except OSError as error:
        raise SessionFileError(f"{source}: the session cannot be read: {error.strerror or error}") from error


def _tokens(source: Path, header: bytes, fingerprint: str, n_ctx: int) -> list[int]:
    """The tokens in a header, if the session fits this model and context."""
    try:
        fields = json.loads(header)
        found, tokens = fields["fingerprint"], fields["tokens"]
        sound = isinstance(found, str) and isinstance(tokens, list) and all(type(token) is int for token in tokens)
    except (ValueError, KeyError, TypeError, RecursionError):
        sound = False
    if not sound:
        raise SessionFileError(f"{source}: the session is damaged: its header is not what pyggml writes; remove it")
    if found != fingerprint:
        raise SessionFileError(
            f"{source}: the session was saved with another model or other cache formats; remove it or name another file"
        )
    if len(tokens) > n_ctx:
        raise SessionFileError(
            f"{source}: the session has {len(tokens)} tokens, the context holds {n_ctx}; choose a larger one with -c"
        )
    return [int(token) for token in tokens]
