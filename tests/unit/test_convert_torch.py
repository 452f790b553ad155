"""Checkpoints of PyTorch: tensors are found without running the pickle, and hostile ones are refused."""

import pickle
import re
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pyggml.convert import torch_file
from pyggml.convert.torch_file import read_torch
from pyggml.convert.torch_pickle import Name, Storage, read_pickle
from pyggml.errors import CheckpointError
from tests.checkpoint_files import pickle_of, write_torch
from tests.checkpoints import weights

TENSORS = {"b.weight": weights("b", 5, 3), "a.weight": weights("a", 4)}
SOUND = pickle_of(TENSORS, "F32")


@pytest.mark.parametrize("dtype", ["F32", "F16", "BF16"])
def test_tensors_come_in_the_order_of_the_file(dtype: str, tmp_path: Path) -> None:
    path = tmp_path / "pytorch_model.bin"
    write_torch(path, TENSORS, dtype)
    tensors = read_torch(path)
    assert list(tensors) == list(TENSORS)
    for name, tensor in tensors.items():
        np.testing.assert_array_equal(tensor.rows(1, 4), TENSORS[name][1:4])


def test_a_parameter_is_the_tensor_in_it(tmp_path: Path) -> None:
    path = tmp_path / "pytorch_model.bin"
    tensor = b"ctorch._utils\n_rebuild_tensor_v2\n("
    assert tensor in SOUND
    wrapped = SOUND.replace(tensor, b"ctorch._utils\n_rebuild_parameter\n(" + tensor)
    wrapped = wrapped.replace(b")RtR", b")RtR\x89ccollections\nOrderedDict\n)RtR")
    write_torch(path, TENSORS, "F32", pickled=wrapped)
    np.testing.assert_array_equal(read_torch(path)["a.weight"].rows(0, 4), TENSORS["a.weight"])


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_every_protocol_is_understood(protocol: int) -> None:
    value = OrderedDict(a=[1, 2.5, "text"], b=(None, True, False), c={"n": 1 << 40, "long": "x" * 300}, d=[], e=((),))
    value["again"] = value["a"]
    assert read_pickle(Path("x"), pickle.dumps(value, protocol)) == value


class _Hostile:
    def __reduce__(self) -> Any:
        return print, ("called!",)


@pytest.mark.parametrize("protocol", [2, 4])
def test_a_call_is_refused_and_not_made(protocol: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "pytorch_model.bin"
    write_torch(path, TENSORS, "F32", pickled=pickle.dumps({"x": _Hostile()}, protocol))
    message = r"pytorch_model.bin: the pickle wants to call '(__builtin__|builtins).print', which weights do not need"
    with pytest.raises(CheckpointError, match=message):
        read_torch(path)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"cos\nsystem\n(S'true'\ntR.", "the pickle wants to call 'os.system'"),
        (b"ctorch.serialization\nload\n.", "the pickle wants to call 'torch.serialization.load'"),
        (
            b"(S'true'\nios\nsystem\n.",
            "the pickle has the instruction STRING at byte 1, which torch.save writes for no",
        ),
        (b"(ios\nsystem\n.", "the pickle has the instruction INST at byte 1"),
        (b"\x82\x01.", "the pickle has the instruction EXT1 at byte 0"),
        (b"\x80\x05\x96" + b"\xff" * 8 + b".", "the pickle is unsound: bytearray8 byte count > sys.maxsize"),
        (b"\x80\x02}", "the pickle is unsound: pickle exhausted before seeing STOP"),
        (b"0.", "the pickle has the instruction POP"),
        (b".", "the pickle is unsound: pop from empty list"),
        (b"h\x05.", "the pickle is unsound: 5"),
        (b"t.", "the pickle is unsound: pop from empty list"),
        (b"}(K\x01u.", "the pickle is unsound: zip() argument 2 is shorter"),
        (b"](K\x01K\x02u.", "the pickle is unsound: 'list' object has no attribute 'update'"),
    ],
)
def test_unsound_pickles_are_refused(data: bytes, message: str) -> None:
    with pytest.raises(CheckpointError, match=re.escape(f"pytorch_model.bin: {message}")):
        read_pickle(Path("pytorch_model.bin"), data)


def test_what_is_outside_stays_a_name() -> None:
    data = b"\x80\x02(ctorch\nFloatStorage\nK\x01tQ."
    assert read_pickle(Path("x"), data) == Storage((Name("torch", "FloatStorage"), 1))


def number(n: int) -> bytes:
    return b"J" + n.to_bytes(4, "little", signed=True)


A_PLACE = number(0) + b"(" + number(4) + b"t(" + number(1) + b"t"


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ((b"FloatStorage", b"LongStorage"), "tensor 'b.weight' is of type 'I64'; allowed are F64, F32, F16, BF16"),
        ((A_PLACE, number(1) + A_PLACE[5:]), "tensor 'a.weight' needs 16 bytes from byte"),
        ((A_PLACE, number(-1) + A_PLACE[5:]), "tensor 'a.weight' begins at weight -1 of its storage"),
        (
            (A_PLACE, A_PLACE[:-7] + b"(" + number(2) + b"t"),
            "tensor 'a.weight' of shape (4,) has the strides (2,); all",
        ),
        ((A_PLACE, A_PLACE[:-7] + b"(t"), "tensor 'a.weight' has the shape (4,) and the strides ()"),
        ((b"X\x01\x00\x00\x001", b"X\x01\x00\x00\x009"), "the storage '9' of tensor 'a.weight' is missing in the arch"),
        (
            (b"X\x07\x00\x00\x00storage", b"X\x07\x00\x00\x00STORAGE"),
            "the storage of tensor 'b.weight' is described in",
        ),
        (
            (b"_rebuild_tensor_v2", b"_rebuild_parameter"),
            "'b.weight' is no tensor but a Call: take a checkpoint of wei",
        ),
    ],
)
def test_unsound_tensors_are_refused(changed: tuple[bytes, bytes], message: str, tmp_path: Path) -> None:
    path = tmp_path / "pytorch_model.bin"
    assert changed[0] in SOUND
    write_torch(path, TENSORS, "F32", pickled=SOUND.replace(*changed))
    with pytest.raises(CheckpointError, match=re.escape(f"{path}: ") + ".*" + re.escape(message)):
        read_torch(path)


@pytest.mark.parametrize("value", [[1], {1: 2}])
def test_a_pickle_without_tensors_is_refused(value: object, tmp_path: Path) -> None:
    path = tmp_path / "pytorch_model.bin"
    write_torch(path, {}, "F32", pickled=pickle.dumps(value, 2))
    with pytest.raises(CheckpointError, match="the pickle holds no dict of tensors by name"):
        read_torch(path)


def compressed(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("model/data.pkl", bytes(1 << 20))


def cut(path: Path) -> None:
    write_torch(path, TENSORS, "F32")
    path.write_bytes(path.read_bytes()[:100])


def two_pickles(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a/data.pkl", b".")
        archive.writestr("b/data.pkl", b".")


def moved(path: Path) -> None:
    """Every place in the directory of the archive is wrong by some bytes."""
    write_torch(path, TENSORS, "F32")
    path.write_bytes(b"#" * 7 + path.read_bytes()[7:])


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (compressed, "the entry 'model/data.pkl' is compressed; torch.save stores entries as they are"),
        (cut, "this is no sound archive of PyTorch: File is not a zip file; it is damaged, or from before PyTorch 1.6"),
        (two_pickles, "the archive has 2 entries data.pkl; allowed is one"),
        (moved, "the entry 'model/data.pkl' lies outside of the file: it is damaged"),
    ],
)
def test_unsound_archives_are_refused(write: Callable[[Path], None], message: str, tmp_path: Path) -> None:
    path = tmp_path / "pytorch_model.bin"
    write(path)
    with pytest.raises(CheckpointError, match=re.escape(f"{path}: {message}")):
        read_torch(path)


def test_an_enormous_pickle_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "pytorch_model.bin"
    write_torch(path, TENSORS, "F32")
    monkeypatch.setattr(torch_file, "_MAX_PICKLE_BYTES", 10)
    with pytest.raises(CheckpointError, match=r"the pickle has \d+ bytes; allowed are 10"):
        read_torch(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"x.bin: the file cannot be read: No such file"):
        read_torch(tmp_path / "x.bin")
