"""Files in the format safetensors: https://huggingface.co/docs/safetensors

The head is a length in 8 bytes and an object in JSON that tells type, shape and place of every tensor. It is read here
and not with the library of that name, which gives neither places in the file nor BF16 to NumPy.
"""

from pathlib import Path

from pyggml.convert.json_object import JsonObject, parsed_object
from pyggml.convert.source import SourceTensor, checked_source
from pyggml.errors import CheckpointError
from pyggml.gguf.cursor import quoted

_LENGTH_BYTES = 8
#: That of the library.
_MAX_HEAD_BYTES = 100_000_000


def read_safetensors(path: Path) -> dict[str, SourceTensor]:
    """The tensors of a file, by name, in the order of the names.

    Raises CheckpointError (file, tensor, what was found, what is allowed) for whatever is unsound: a head longer than
    the file, one that is no JSON, places outside of the file or of another size than the shape needs.
    """
    try:
        n_file_bytes = path.stat().st_size
        with path.open("rb") as file:
            n_head_bytes = int.from_bytes(file.read(_LENGTH_BYTES), "little")
            _check_head(path, n_head_bytes, n_file_bytes)
            head = file.read(n_head_bytes)
    except OSError as error:
        raise CheckpointError(f"{path}: the file cannot be read: {error.strerror or error}") from None
    entries = JsonObject(path, parsed_object(path, head, "the head"))
    start = _LENGTH_BYTES + n_head_bytes
    names = sorted(name for name in entries.values if name != "__metadata__")
    return {name: _source(path, name, entries.inner(name), start, n_file_bytes) for name in names}


def _check_head(path: Path, n_head_bytes: int, n_file_bytes: int) -> None:
    n_max = min(_MAX_HEAD_BYTES, n_file_bytes - _LENGTH_BYTES)
    if n_head_bytes > n_max:
        raise CheckpointError(
            f"{path}: the head takes {n_head_bytes} bytes, as its first 8 bytes say; allowed are {max(0, n_max)} in a "
            f"file of {n_file_bytes}: it is damaged, not downloaded whole, or no file of safetensors"
        )


def _source(path: Path, name: str, entry: JsonObject, start: int, n_file_bytes: int) -> SourceTensor:
    dtype, shape = entry.require("dtype", str), tuple(entry.list_of("shape", int))
    offsets = entry.list_of("data_offsets", int)
    if len(offsets) != 2:
        raise entry.error("data_offsets", "an array of two integers")
    tensor = checked_source(name, path, dtype, shape, start + offsets[0], n_file_bytes)
    if offsets[0] < 0 or offsets[1] - offsets[0] != tensor.n_bytes:
        raise CheckpointError(
            f"{path}: tensor {quoted(name)} of type {dtype} and shape {shape} needs {tensor.n_bytes} bytes; its place "
            f"is from {offsets[0]} to {offsets[1]}: the file is damaged"
        )
    return tensor
