"""Types that ggml does not have, in GGUF files: named by the metadata, checked like others, refused by llama.cpp."""

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pyggml.errors import GGUFError
from pyggml.gguf import GGMLType, GGUFFile, ValueType
from pyggml.gguf.own_types import own_type_fields, read_own_types
from pyggml.gguf.splitting import SplitOptions, plan_merge, plan_split, write_shards
from pyggml.gguf.values import Value
from pyggml.gguf.writer import OutputTensor, write_gguf
from pyggml_kernels.private_types import private_type_id
from tests.unit.cli_running import invoke
from tests.unit.gguf_bytes import FileBytes, array, entry, info, padded
from tests.unit.test_gguf_llama_cpp import llama_accepts

__all__ = ["llama_accepts"]

NUMBER = private_type_id("MINE")
MINE = GGMLType(NUMBER, "MINE", 4, 3)


def content(*key: bytes, n_columns: int = 8, n_bytes: int = 6, type_id: int = NUMBER) -> bytes:
    return FileBytes(list(key), [info("w", (n_columns, 1), type_id)], padded(bytes(n_bytes))).build()


def named(number: int = NUMBER, block_size: int = 4, block_bytes: int = 3, name: str = "MINE") -> bytes:
    numbers = [struct.pack("<I", each) for each in (number, block_size, block_bytes)]
    return entry(f"pyggml.format.{name}", ValueType.ARRAY, array(ValueType.UINT32, numbers))


def opened(folder: Path, data: bytes) -> GGUFFile:
    (folder / "x.gguf").write_bytes(data)
    return GGUFFile.open(folder / "x.gguf")


def tensors(*names: str) -> list[OutputTensor]:
    def chunks() -> list[np.ndarray[tuple[int], np.dtype[np.uint8]]]:
        return [np.arange(6, dtype=np.uint8)]

    return [OutputTensor(name, NUMBER, (8, 1), chunks, MINE) for name in names]


def test_a_named_type_has_a_size(tmp_path: Path) -> None:
    with opened(tmp_path, content(named())) as file:
        tensor = file.tensors["w"]
        assert (tensor.type_name, tensor.known_type, tensor.n_bytes) == ("MINE", MINE, 6)
        assert file.tensor_bytes("w").tobytes() == bytes(6)
        assert "MINE" in invoke("inspect", str(file.path)).output


def test_a_number_that_nothing_names_is_unknown(tmp_path: Path) -> None:
    with opened(tmp_path, content()) as file:
        assert (file.tensors["w"].type_name, file.tensors["w"].n_bytes) == (f"type {NUMBER}", None)


def test_llama_cpp_refuses_it(llama_accepts: Callable[[bytes], bool]) -> None:
    assert not llama_accepts(content(named()))
    assert llama_accepts(content(named(), n_columns=4, n_bytes=16, type_id=0))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (content(named(), n_columns=6), "tensor 'w' of type MINE has rows of 6 elements; allowed are multiples of 4"),
        (content(named(), n_columns=4096), "the data of tensor 'w' take bytes .*, but the file ends at byte"),
        (content(named(), named()), r"repeats the key 'pyggml\.format\.MINE'"),
        (content(named(block_size=0)), "a block has 0 weights in 3 bytes; allowed are 1 to 65536"),
        (content(named(block_bytes=0)), "a block has 4 weights in 0 bytes; allowed are 1 to 65536"),
        (content(named(block_size=2**31)), "a block has 2147483648 weights in 3 bytes; allowed are 1 to 65536"),
        (content(named(block_bytes=65537)), "a block has 4 weights in 65537 bytes; allowed are 1 to 65536"),
        (content(named(8)), f"'pyggml.format.MINE': the type's number is 8; by its name it must be {NUMBER}"),
        (content(named(name="mine")), "'mine' is no name of a format: allowed are 1 to 32 of A to Z, 0 to 9 and _"),
        (content(named(name="M" * 1000)), "'M{40}' is no name of a format"),
        (
            content(entry("pyggml.format.MINE", ValueType.UINT32, bytes(4))),
            "key 'pyggml.format.MINE': allowed is an array of three uint32",
        ),
        (
            content(entry("pyggml.format.MINE", ValueType.ARRAY, array(ValueType.UINT32, [bytes(4)] * 2))),
            "allowed is an array of three uint32",
        ),
        (
            content(entry("pyggml.format.MINE", ValueType.ARRAY, array(ValueType.FLOAT32, [bytes(4)] * 3))),
            "allowed is an array of three uint32",
        ),
    ],
)
def test_hostile_files(tmp_path: Path, data: bytes, message: str) -> None:
    with pytest.raises(GGUFError, match=message):
        opened(tmp_path, data)


def test_two_names_of_one_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pyggml.gguf.own_types.private_type_id", lambda name: 7)
    one = np.array([7, 1, 1], np.uint32)
    metadata: dict[str, Value] = {"pyggml.format.A": one, "pyggml.format.B": one}
    with pytest.raises(GGUFError, match=r"x.gguf: the formats B and A have the same number 7: rename one of them"):
        read_own_types(Path("x.gguf"), metadata)


def test_writing_needs_the_name(tmp_path: Path) -> None:
    with pytest.raises(GGUFError, match=r"tensor 'w' has the format MINE, .* must name it with the key 'pyggml"):
        write_gguf(tmp_path / "x.gguf", {}, tensors("w"))


def test_shards_can_be_read_alone_and_merged(tmp_path: Path) -> None:
    write_gguf(tmp_path / "x.gguf", own_type_fields([MINE]), tensors("a", "b", "c"))
    with GGUFFile.open(tmp_path / "x.gguf") as file:
        write_shards(plan_split(file, tmp_path / "x", SplitOptions(max_tensors=2)))
    with GGUFFile.open(tmp_path / "x-00002-of-00002.gguf") as file:
        assert [each.n_bytes for each in file.tensors.values()] == [6, 6, 6]
        write_shards([plan_merge(file, tmp_path / "merged.gguf")])
    with GGUFFile.open(tmp_path / "merged.gguf") as file:
        assert file.tensor_bytes("c").tobytes() == bytes(range(6))
        assert file.tensors["c"].known_type == MINE
