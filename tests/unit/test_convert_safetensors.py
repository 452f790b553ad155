"""Files of safetensors: what they hold, and what of them is refused."""

import json
import re
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyggml.convert.safetensors_file import read_safetensors
from pyggml.convert.source import SourceTensor
from pyggml.errors import CheckpointError
from tests.checkpoint_files import write_safetensors
from tests.checkpoints import weights


def write(path: Path, head: Mapping[str, Any], data: bytes = bytes(8)) -> Path:
    text = json.dumps(head).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return path


@pytest.mark.parametrize("dtype", ["F32", "F16", "BF16"])
def test_tensors_come_in_the_order_of_their_names(dtype: str, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    given_tensors = {name: weights(name, 5, 3) for name in ("b", "a.10", "a.2")}
    write_safetensors(path, given_tensors, dtype)
    tensors = read_safetensors(path)
    assert list(tensors) == ["a.10", "a.2", "b"]
    for name, tensor in tensors.items():
        np.testing.assert_array_equal(tensor.rows(1, 4), given_tensors[name][1:4])


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 40), st.integers(1, 7), st.integers(1, 9))
def test_slabs_are_the_whole_tensor_in_multiples_of_the_step(n_rows: int, step: int, per_slab: int) -> None:
    tensor = SourceTensor("x", Path("nowhere"), "F32", (n_rows, 2), 0)
    taken: list[tuple[int, int]] = []

    class Recording(SourceTensor):
        def rows(self, first: int, last: int) -> Any:
            taken.append((first, last))
            return np.zeros((last - first, 2), np.float32)

    recording = Recording(tensor.name, tensor.path, tensor.dtype, tensor.shape, tensor.offset)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pyggml.convert.source._WEIGHTS_PER_SLAB", 2 * per_slab)
        total = sum(len(slab) for slab in recording.slabs(step=step))
    assert total == n_rows
    assert taken[0][0] == 0
    assert taken[-1][1] == n_rows
    assert all(first % step == 0 and last - first <= max(step, per_slab) for first, last in taken)


def entry(dtype: object = "F32", shape: object = (2,), offsets: object = (0, 8)) -> dict[str, Any]:
    return {"x": {"dtype": dtype, "shape": shape, "data_offsets": offsets}}


@pytest.mark.parametrize(
    ("head", "message"),
    [
        (
            entry(dtype="I32"),
            "tensor 'x' is of type 'I32'; allowed are F64, F32, F16, BF16: a checkpoint that is quant",
        ),
        (entry(dtype=3), "the key 'x.dtype' is 3; allowed is a string"),
        (entry(shape=[-2]), "tensor 'x' has the shape (-2,); allowed are up to 8 dimensions, none negative"),
        (entry(shape=[1] * 9), "allowed are up to 8 dimensions"),
        (entry(shape="2"), "the key 'x.shape' is \"2\"; allowed is an array"),
        (entry(offsets=[0]), "the key 'x.data_offsets' is [0]; allowed is an array of two integers"),
        (entry(offsets=[0, 4]), "tensor 'x' of type F32 and shape (2,) needs 8 bytes; its place is from 0 to 4"),
        (entry(offsets=[-8, 0]), "its place is from -8 to 0: the file is damaged"),
        (entry(offsets=[4, 12]), "tensor 'x' needs 8 bytes from byte "),
        (entry(shape=[2**40, 2**40], offsets=[0, 8]), "tensor 'x' needs 4835703278458516698824704 bytes from byte"),
        ({"x": 3}, "the key 'x' is 3; allowed is an object"),
    ],
)
def test_unsound_entries_are_refused(head: dict[str, Any], message: str, tmp_path: Path) -> None:
    path = write(tmp_path / "model.safetensors", head)
    with pytest.raises(CheckpointError, match=re.escape(f"{path}: ") + ".*" + re.escape(message)):
        read_safetensors(path)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "the head takes 0 bytes, as its first 8 bytes say; allowed are 0 in a file of 0"),
        (b"version https://git-lfs.github.com", "allowed are 26 in a file of 34: it is damaged, not downloaded whole"),
        (struct.pack("<Q", 2) + b"[]", "the head is of the kind list; allowed is an object in JSON"),
        (struct.pack("<Q", 2) + b"{]", "the head is no sound JSON"),
    ],
)
def test_unsound_heads_are_refused(data: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match=re.escape(f"{path}: ") + ".*" + re.escape(message)):
        read_safetensors(path)


def test_a_file_that_is_cut_meanwhile_is_named(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    write_safetensors(path, {"x": weights("x", 4)}, "F32")
    tensor = read_safetensors(path)["x"]
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(CheckpointError, match="the file ends within tensor 'x': was it cut meanwhile"):
        tensor.rows(0, 4)
    path.unlink()
    with pytest.raises(CheckpointError, match="the file cannot be read: No such file"):
        tensor.rows(0, 4)
    with pytest.raises(CheckpointError, match="the file cannot be read: No such file"):
        read_safetensors(path)
