"""The folder of a checkpoint: all parts are there, and belong together."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pyggml.convert import open_checkpoint
from pyggml.errors import CheckpointError
from tests.checkpoint_files import write_json, write_safetensors
from tests.checkpoints import weights, write_weights

TENSORS = {name: weights(name, 2, 3) for name in ("b", "a", "c")}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_json(tmp_path / "config.json", {"architectures": ["LlamaForCausalLM"]})
    return tmp_path


@pytest.mark.parametrize("torch", [False, True])
@pytest.mark.parametrize("n_files", [1, 2])
def test_tensors_of_all_files_are_found(torch: bool, n_files: int, folder: Path) -> None:
    write_weights(folder, TENSORS, "F16", n_files=n_files, torch=torch)
    found = open_checkpoint(folder).tensors
    assert found.keys() == TENSORS.keys()
    assert len({tensor.path for tensor in found.values()}) == n_files


def test_safetensors_go_before_files_of_pytorch(folder: Path) -> None:
    write_weights(folder, TENSORS, "F16", torch=True)
    write_weights(folder, TENSORS, "F16")
    assert {tensor.path.suffix for tensor in open_checkpoint(folder).tensors.values()} == {".safetensors"}


def test_a_vocabulary_alone_needs_no_weights(folder: Path) -> None:
    assert open_checkpoint(folder, needs_weights=False).tensors == {}
    with pytest.raises(
        CheckpointError, match=r"there are no weights; looked for were model\*.safetensors and pytorch_mo"
    ):
        open_checkpoint(folder)


def test_what_is_no_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"nowhere: this is no folder; a checkpoint is one, with config.json and"):
        open_checkpoint(tmp_path / "nowhere")
    with pytest.raises(CheckpointError, match=r"config.json: the file cannot be read"):
        open_checkpoint(tmp_path)


def with_index(weight_map: Any) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        write_json(folder / "model.safetensors.index.json", {"weight_map": weight_map})

    return change


def twice(folder: Path) -> None:
    (folder / "model.safetensors.index.json").unlink()
    write_safetensors(folder / "model-00002-of-00002.safetensors", TENSORS, "F16")


FIRST, SECOND = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            with_index({"a": "../model.safetensors"}),
            "the file of tensor 'a' is '../model.safetensors'; allowed are names",
        ),
        (with_index({"a": 3}), "the file of tensor 'a' is '3'; allowed are names of files beside it"),
        (with_index({"a": "x", "b": FIRST}), "files are missing beside it: 'x': download the whole checkpoint"),
        (with_index([]), "the key 'weight_map' is []; allowed is an object"),
        (with_index({"a": SECOND, "b": FIRST}), "1 tensors are in the files, but not in the index: 'c'"),
        (
            with_index(dict.fromkeys("abcdefgh", FIRST) | {"a": SECOND}),
            "5 tensors are in none of the files: 'd', 'e', 'f', 'g' and 1 more: download the whole checkpoint",
        ),
        (twice, "tensor 'b' is in "),
    ],
)
def test_parts_that_do_not_belong_together(change: Callable[[Path], None], message: str, folder: Path) -> None:
    write_weights(folder, TENSORS, "F16", n_files=2)
    change(folder)
    with pytest.raises(CheckpointError, match=re.escape(message)):
        open_checkpoint(folder)
