"""Reading importance matrices, in both formats."""

import struct
from pathlib import Path

import numpy as np
import pytest

from pyggml.errors import QuantizeError
from pyggml.gguf import FieldType, ValueType
from pyggml.gguf.encoding import Field, number_field
from pyggml.gguf.writer import OutputTensor, write_gguf
from pyggml.quantize import read_importance

KEYS = {
    "imatrix.datasets": Field(FieldType(ValueType.ARRAY, ValueType.STRING), ["a.txt", "b.txt"]),
    "imatrix.chunk_count": number_field(ValueType.UINT32, 3),
    "imatrix.chunk_size": number_field(ValueType.UINT32, 512),
}


def tensor(name: str, values: list[float], *shape: int) -> OutputTensor:
    data = np.array(values, np.float32).view(np.uint8)
    return OutputTensor(name, 0, shape or (len(values),), lambda: [data])


def write(folder: Path, *tensors: OutputTensor, keys: dict[str, Field] = KEYS) -> str:
    write_gguf(folder / "imatrix.gguf", keys, tensors)
    return str(folder / "imatrix.gguf")


def legacy_entry(name: str, n_calls: int, values: list[float]) -> bytes:
    data = name.encode()
    head = struct.pack("<i", len(data)) + data + struct.pack("<ii", n_calls, len(values))
    return head + np.array(values, np.float32).tobytes()


def test_sums_are_divided_by_counts_and_stand_for_nothing_without_any(tmp_path: Path) -> None:
    sums = tensor("w.in_sum2", [3, 6, 9, 5, 5, 5], 3, 2)
    importance = read_importance(write(tmp_path, sums, tensor("w.counts", [2.6, 0], 1, 2)))
    assert importance.columns["w"].tolist() == [1, 2, 3, 1, 1, 1]
    assert importance.columns["w"].dtype == np.float32
    assert importance.datasets == ("a.txt", "b.txt")
    assert importance.n_chunks == 3


def test_the_older_format(tmp_path: Path) -> None:
    path = tmp_path / "imatrix.dat"
    entries = struct.pack("<i", 2) + legacy_entry("v", 2, [4, 6]) + legacy_entry("w", 0, [5])
    path.write_bytes(entries)
    importance = read_importance(str(path))
    assert {name: values.tolist() for name, values in importance.columns.items()} == {"v": [2, 3], "w": [5]}
    assert (importance.datasets, importance.n_chunks) == ((), 0)
    path.write_bytes(entries + struct.pack("<ii", 7, 1) + b"d")
    importance = read_importance(str(path))
    assert (importance.datasets, importance.n_chunks) == (("d",), 7)


def test_entries_are_chosen_by_parts_of_their_names(tmp_path: Path) -> None:
    path = tmp_path / "imatrix.dat"
    names = ["blk.0.attn_v", "blk.0.ffn_up", "blk.1.attn_v"]
    path.write_bytes(struct.pack("<i", 3) + b"".join(legacy_entry(name, 1, [1]) for name in names))
    importance = read_importance(str(path))
    assert list(importance.only(["attn"]).columns) == [names[0], names[2]]
    assert list(importance.without(["blk.1", "ffn"]).columns) == [names[0]]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0\0\0\0",
        struct.pack("<i", -1),
        struct.pack("<i", 1),
        struct.pack("<i", 2) + legacy_entry("v", 1, [4]),
        (struct.pack("<i", 1) + legacy_entry("v", 1, [4]))[:-1],
        struct.pack("<i", 1) + struct.pack("<i", 2) + b"\xff\xff",
    ],
)
def test_what_is_no_importance_matrix_is_an_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "imatrix.dat"
    path.write_bytes(content)
    with pytest.raises(QuantizeError, match=r"imatrix\.dat: this is no importance matrix, or a truncated one"):
        read_importance(str(path))


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(QuantizeError, match="the importance matrix cannot be read: No such file"):
        read_importance(str(tmp_path / "none"))


def test_unsound_gguf_files_are_errors(tmp_path: Path) -> None:
    sums, counts = tensor("w.in_sum2", [1, 2, 3]), tensor("w.counts", [1])
    with pytest.raises(
        QuantizeError, match=r"no importance matrix: the metadata lack imatrix.datasets, imatrix.chunk_c"
    ):
        read_importance(write(tmp_path, sums, counts, keys={}))
    with pytest.raises(QuantizeError, match="the importance matrix is empty"):
        read_importance(write(tmp_path))
    with pytest.raises(QuantizeError, match=r"tensor 'w.counts' is missing: measure"):
        read_importance(write(tmp_path, sums))
    with pytest.raises(QuantizeError, match=r"tensor 'w.in_sum2' is missing: measure"):
        read_importance(write(tmp_path, counts))
    halves = OutputTensor("w.counts", 1, (2,), lambda: [np.zeros(4, np.uint8)])
    with pytest.raises(QuantizeError, match=r"tensor 'w.counts' has type F16; allowed is F32"):
        read_importance(write(tmp_path, sums, halves))
    with pytest.raises(QuantizeError, match="'w' has 3 sums for 2 counts; allowed is a multiple"):
        read_importance(write(tmp_path, sums, tensor("w.counts", [1, 1])))
    with pytest.raises(QuantizeError, match="the counts of 'w' are not finite: measure the importance again"):
        read_importance(write(tmp_path, sums, tensor("w.counts", [float("nan")])))
    with pytest.raises(QuantizeError, match="'w' has 2 sums of values for 3 of squares; allowed are as many"):
        read_importance(write(tmp_path, sums, counts, tensor("w.in_sum", [1, 2])))
    with pytest.raises(QuantizeError, match="the importance of 'w' is not finite: measure it again"):
        read_importance(write(tmp_path, tensor("w.in_sum2", [float("inf")]), counts))
