"""Writes the files that checkpoints consist of, as the libraries that usually write them do."""

import json
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from zipfile import ZIP_STORED, ZipFile

import numpy as np
import numpy.typing as npt

Weights = npt.NDArray[np.float32]

_SAFETENSORS_DTYPES = {"F32": "<f4", "F16": "<f2", "BF16": "<u2"}
_STORAGES = {"F32": "FloatStorage", "F16": "HalfStorage", "BF16": "BFloat16Storage"}


def encoded(weights: Weights, dtype: str) -> bytes:
    """The bytes of weights that the type can hold exactly."""
    if dtype == "BF16":
        return (weights.view(np.uint32) >> np.uint32(16)).astype("<u2").tobytes()
    return weights.astype(_SAFETENSORS_DTYPES[dtype]).tobytes()


def write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, ensure_ascii=False, indent=1), encoding="utf-8")


def write_safetensors(path: Path, tensors: Mapping[str, Weights], dtype: str) -> None:
    """Takes each tensor twice out of the mapping, so that one that makes them when asked needs little memory."""
    head: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    n_bytes = 0
    for name, weights in tensors.items():
        start, n_bytes = n_bytes, n_bytes + weights.size * np.dtype(_SAFETENSORS_DTYPES[dtype]).itemsize
        head[name] = {"dtype": dtype, "shape": list(weights.shape), "data_offsets": [start, n_bytes]}
    text = json.dumps(head).encode()
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for weights in tensors.values():
            file.write(encoded(weights, dtype))


def write_torch(path: Path, tensors: Mapping[str, Weights], dtype: str, *, pickled: bytes | None = None) -> None:
    """An archive as torch.save writes it; `pickled` takes the place of its pickle."""
    with ZipFile(path, "w", ZIP_STORED) as archive:
        archive.writestr("model/data.pkl", pickle_of(tensors, dtype) if pickled is None else pickled)
        archive.writestr("model/byteorder", "little")
        for index, weights in enumerate(tensors.values()):
            archive.writestr(f"model/data/{index}", encoded(weights, dtype))
        archive.writestr("model/version", "3\n")


def pickle_of(tensors: Mapping[str, Weights], dtype: str) -> bytes:
    """The pickle of protocol 2 that torch.save writes for an OrderedDict of tensors."""
    parts = [b"\x80\x02ccollections\nOrderedDict\nq\x00)Rq\x01("]
    for index, (name, weights) in enumerate(tensors.items()):
        strides = [int(np.prod(weights.shape[axis + 1 :])) for axis in range(weights.ndim)]
        parts += [
            *(_text(name), b"ctorch._utils\n_rebuild_tensor_v2\n("),
            *(b"(", _text("storage"), f"ctorch\n{_STORAGES[dtype]}\n".encode(), _text(str(index)), _text("cpu")),
            *(_number(weights.size), b"tQ", _number(0), _numbers(weights.shape), _numbers(strides)),
            b"\x89ccollections\nOrderedDict\n)RtR",
        ]
    return b"".join([*parts, b"u}", _text("_metadata"), b"}sb."])


def _text(text: str) -> bytes:
    return b"X" + struct.pack("<I", len(text.encode())) + text.encode()


def _number(number: int) -> bytes:
    return b"J" + struct.pack("<i", number)


def _numbers(numbers: Sequence[int]) -> bytes:
    return b"(" + b"".join(_number(number) for number in numbers) + b"t"


def write_sentencepiece(path: Path, pieces: Sequence[tuple[str, float, int]]) -> None:
    """A vocabulary for BPE: text, score and type of each piece."""
    data = b"".join(_message(1, _piece(*piece)) for piece in pieces)
    trainer = b"\x18\x02\x98\x02\x01"  # model_type: BPE, byte_fallback: true
    normalizer = _message(1, b"identity")
    path.write_bytes(data + _message(2, trainer) + _message(3, normalizer))


def _piece(text: str, score: float, kind: int) -> bytes:
    return _message(1, text.encode()) + b"\x15" + struct.pack("<f", score) + b"\x18" + bytes([kind])


def _message(number: int, value: bytes) -> bytes:
    length = len(value)
    head = bytes([number << 3 | 2])
    while length >= 0x80:
        head += bytes([length & 0x7F | 0x80])
        length >>= 7
    return head + bytes([length]) + value
