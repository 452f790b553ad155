"""Random models: the types of llama-quantize, and files that are sound."""

import shutil
from pathlib import Path
from typing import NamedTuple

import pytest

import pyggml
from benchmarks import random_models
from benchmarks.errors import BenchmarkError
from benchmarks.random_models import SHAPES, Shape, write_random_model
from pyggml.bench import summarize_model
from pyggml.errors import QuantizeError
from pyggml.gguf import GGUFFile
from pyggml.quantize import FILE_TYPES, QuantizeOptions, file_type_named, plan_quantization

SMALL = Shape(2, 256, 4, 2, 512, n_vocab=300)
NEED_IMPORTANCE = ("IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ2_M", "IQ3_XXS", "Q2_K_S")
UNTIED = Shape(2, 256, 4, 2, 512, n_vocab=300, is_tied=False)


def types_of(path: Path) -> dict[str, str]:
    with GGUFFile.open(path) as file:
        return {name: info.type_name for name, info in file.tensors.items()}


@pytest.mark.parametrize("name", [name for name in FILE_TYPES if name not in NEED_IMPORTANCE and name != "COPY"])
def test_the_types_are_those_of_quantizing(name: str, tmp_path: Path) -> None:
    source, target = tmp_path / "f16.gguf", tmp_path / "out.gguf"
    write_random_model(source, UNTIED, "F16")
    write_random_model(target, UNTIED, name)
    with GGUFFile.open(source) as file:
        plan = plan_quantization(file, "x", file_type_named(name), QuantizeOptions())
        expected = {each.info.name: each.target.name for each in plan.tensors}
    assert types_of(target) == expected


@pytest.mark.parametrize("name", NEED_IMPORTANCE)
def test_types_that_quantizing_needs_importance_for(name: str, tmp_path: Path) -> None:
    write_random_model(tmp_path / "out.gguf", UNTIED, name)
    assert types_of(tmp_path / "out.gguf")["blk.0.ffn_up.weight"] == file_type_named(name).base


def test_a_model_says_what_it_is(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    write_random_model(path, SMALL, "Q4_K_S")
    with GGUFFile.open(path) as file:
        assert summarize_model(file).type == "qwen2 ?B Q4_K - Small"
        assert "output.weight" not in file.tensors


@pytest.mark.parametrize("name", ["Q3_K_M", "MXFP4_MOE", "IQ1_M"])
def test_a_model_runs(name: str, tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    write_random_model(path, UNTIED, name)
    logits = pyggml.load(path, n_ctx=256, n_threads=1).logits([1, 2, 3])
    assert logits.shape == (3, 300)
    assert abs(logits).max() < 1e4


def test_shapes_are_those_of_qwen() -> None:
    # The numbers of parameters in Qwen2.5's own tables, in billions.
    billions = {"0.5B": 0.49, "1.5B": 1.54, "3B": 3.09, "7B": 7.61, "14B": 14.7, "32B": 32.5, "72B": 72.7}
    for name, expected in billions.items():
        shape = SHAPES[name]
        n = sum(n_rows * n_columns for _, n_rows, n_columns in random_models._matrices(shape))
        assert n / 1e9 == pytest.approx(expected, rel=0.02)


def test_a_disk_without_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Usage(NamedTuple):
        free: int

    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(1000))
    message = r"big\.gguf: the model takes 44\.\d GiB, and 0\.0 GiB are free there; choose another folder with --models"
    with pytest.raises(BenchmarkError, match=message):
        write_random_model(tmp_path / "big.gguf", SHAPES["72B"], "Q4_K_M")
    assert not list(tmp_path.iterdir())


def test_an_unknown_file_type(tmp_path: Path) -> None:
    with pytest.raises(QuantizeError, match="there is no file type 'Q9'"):
        write_random_model(tmp_path / "m.gguf", SMALL, "Q9")
