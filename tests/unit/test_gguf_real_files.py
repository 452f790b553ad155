"""Real model files, read as the package gguf reads them."""

from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest

from pyggml.gguf import FieldType, GGUFFile, ValueType
from pyggml.gguf.values import as_list
from pyggml.package_data import demo_model

NAMES = ("stories260K.gguf", "demo-text-f16.gguf", "demo-vl-f16.gguf", "demo-vl-mmproj-f16.gguf")


def compare(path: Path) -> None:
    """Every key and every tensor."""
    oracle = gguf.GGUFReader(path)
    with GGUFFile.open(path) as file:
        fields = {key: field for key, field in oracle.fields.items() if not key.startswith("GGUF.")}
        assert list(file.metadata) == list(fields)
        for key, field in fields.items():
            assert file.metadata_types[key] == FieldType(*map(ValueType, field.types))
            value: Any = file.metadata[key]
            assert (as_list(value) if isinstance(value, (list, np.ndarray)) else value) == field.contents()
        assert list(file.tensors) == [tensor.name for tensor in oracle.tensors]
        for tensor in oracle.tensors:
            info = file.tensors[tensor.name]
            assert (info.type_id, info.offset, info.n_bytes) == (tensor.tensor_type, tensor.data_offset, tensor.n_bytes)
            assert info.shape == tuple(tensor.shape.tolist())
            assert np.array_equal(file.tensor_bytes(tensor.name), tensor.data.view(np.uint8).reshape(-1))


def test_the_model_in_the_package() -> None:
    compare(demo_model())
    with GGUFFile.open(demo_model()) as file:
        assert file.require("general.architecture", str) == "qwen2"
        assert file.require("qwen2.block_count", int, low=1) == 8
        assert len(file.require("tokenizer.ggml.tokens", list[str])) == 7936


@pytest.mark.parametrize("name", NAMES)
def test_real_files(shared: Path, name: str) -> None:
    compare(shared / "models" / name)
