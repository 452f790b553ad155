"""A folder as `save_pretrained` of Hugging Face's transformers writes it: config.json, weights in one file or many."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pyggml.convert.json_object import JsonObject, read_json_object
from pyggml.convert.safetensors_file import read_safetensors
from pyggml.convert.source import SourceTensor
from pyggml.convert.torch_file import read_torch
from pyggml.errors import CheckpointError
from pyggml.gguf.cursor import quoted

_MAX_NAMED = 4


@dataclass(frozen=True)
class Checkpoint:
    """The folder, its config.json and its tensors by name, file after file."""

    folder: Path
    config: JsonObject
    tensors: Mapping[str, SourceTensor]


def open_checkpoint(folder: Path, *, needs_weights: bool = True) -> Checkpoint:
    """Read everything but the weights. Raises CheckpointError for whatever is missing or unsound.

    Without `needs_weights`, a folder of tokenizer and config.json alone will do.
    """
    if not folder.is_dir():
        raise CheckpointError(f"{folder}: this is no folder; a checkpoint is one, with config.json and weights in it")
    config = read_json_object(folder / "config.json")
    tensors = _read_tensors(folder)
    if needs_weights and not tensors:
        raise CheckpointError(
            f"{folder}: there are no weights; looked for were model*.safetensors and pytorch_model*.bin"
        )
    return Checkpoint(folder, config, tensors)


def _read_tensors(folder: Path) -> dict[str, SourceTensor]:
    parts, index_name, read = sorted(folder.glob("model*.safetensors")), "model.safetensors", read_safetensors
    if not parts and not (folder / "model.safetensors.index.json").is_file():
        parts, index_name, read = sorted(folder.glob("pytorch_model*.bin")), "pytorch_model.bin", read_torch
    index = folder / f"{index_name}.index.json"
    expected: Mapping[str, str] | None = None
    if index.is_file():
        expected = _weight_map(index)
        parts = [folder / name for name in sorted(set(expected.values()))]
    tensors: dict[str, SourceTensor] = {}
    for part in parts:
        for name, tensor in read(part).items():
            if name in tensors:
                raise CheckpointError(f"{part}: tensor {quoted(name)} is in {tensors[name].path} as well")
            tensors[name] = tensor
    if expected is not None:
        _check_index(index, expected, tensors)
    return tensors


def _weight_map(index: Path) -> dict[str, str]:
    """The file of each tensor. Raises CheckpointError for names that lead out of the folder, and for missing files."""
    files = read_json_object(index).require("weight_map", dict)
    for tensor, name in files.items():
        if not isinstance(name, str) or Path(name).name != name:
            raise CheckpointError(
                f"{index}: the file of tensor {quoted(tensor)} is {quoted(str(name))}; allowed are names of files "
                "beside it"
            )
    missing = sorted({name for name in files.values() if not (index.parent / name).is_file()})
    if missing:
        raise CheckpointError(
            f"{index}: files are missing beside it: {_listed(missing)}: download the whole checkpoint"
        )
    return files


def _check_index(index: Path, expected: Mapping[str, str], tensors: Mapping[str, SourceTensor]) -> None:
    for names, problem in (
        (expected.keys() - tensors.keys(), "are in none of the files"),
        (tensors.keys() - expected.keys(), "are in the files, but not in the index"),
    ):
        if names:
            raise CheckpointError(
                f"{index}: {len(names)} tensors {problem}: {_listed(sorted(names))}: download the whole checkpoint"
            )


def _listed(names: list[str]) -> str:
    shown = ", ".join(quoted(name) for name in names[:_MAX_NAMED])
    return shown if len(names) <= _MAX_NAMED else f"{shown} and {len(names) - _MAX_NAMED} more"
