"""`pyggml convert`: where files go, what is shown, quantizing in one go, and wrong use."""

import re
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from pyggml.convert import ConvertOptions, plan_conversion
from pyggml.convert.source import SourceTensor
from pyggml.gguf import GGUFFile
from pyggml.gguf.splitting import write_shards
from tests.checkpoints import Shape, language_tensors, write_checkpoint, write_weights
from tests.unit.cli_running import invoke

QWEN2 = "Qwen2.5-Tiny-v0.2-Instruct"


def test_the_file_is_named_after_the_model_and_lies_in_its_folder(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path, QWEN2)
    result = invoke("convert", str(folder))
    assert result.exit_code == 0, result.output
    path = folder / "Qwen2.5-Tiny-v0.2-80K-Instruct-BF16.gguf"
    assert result.stdout == f"{path}: 26 tensors, {path.stat().st_size / 1e6:.1f} MB\n"
    assert f"converting {folder} to {path}" in result.stderr


def test_braces_stand_for_the_type(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path, QWEN2)
    result = invoke("convert", str(folder), "--outfile", str(tmp_path / "x-{ftype}-{OUTTYPE}.gguf"))
    assert result.exit_code == 0, result.output
    assert (tmp_path / "x-bf16-BF16.gguf").is_file()


def test_a_dry_run_shows_files_and_tensors(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path, QWEN2)
    before = sorted(folder.iterdir())
    result = invoke("convert", str(folder), "--dry-run", "--split-max-tensors", "20")
    assert result.exit_code == 0, result.output
    assert "Instruct-BF16-00002-of-00002.gguf: 6 tensors" in result.stdout
    assert re.search(r"token_embd.weight +\[ +64 x 288\]  BF16\n", result.stdout)
    assert sorted(folder.iterdir()) == before


def test_quantizing_in_one_go_is_quantizing_the_converted_file(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path, "llama-sentencepiece")
    whole, quantized = tmp_path / "f16.gguf", tmp_path / "q4_0.gguf"
    assert invoke("convert", str(folder), "--outfile", str(whole)).exit_code == 0
    assert invoke("quantize", str(whole), str(quantized), "Q4_0").exit_code == 0
    result = invoke("convert", str(folder), "--outtype", "q4_0", "-t", "1")
    assert result.exit_code == 0, result.output
    path = folder / "Llama-Sentencepiece-107K-Q4_0.gguf"
    assert path.read_bytes() == quantized.read_bytes()
    assert [each.suffix for each in folder.iterdir() if each.name.startswith("Llama")] == [".gguf"]


def test_a_tower_is_quantized_too(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path, "qwen2-vl")
    result = invoke("convert", str(folder), "--mmproj", "--outtype", "q5_0", "--outfile", str(tmp_path / "tower.gguf"))
    assert result.exit_code == 0, result.output
    with GGUFFile.open(tmp_path / "tower.gguf") as file:
        assert file.tensors["v.blk.0.ffn_up.weight"].type_name == "Q5_0"
        assert file.tensors["v.patch_embd.weight"].type_name == "F32"


def test_nothing_is_left_behind_when_quantizing_fails(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path, "llama-sentencepiece")
    tensors = dict(language_tensors(Shape(n_head_kv=4), biases=False, tied=False))
    tensors["model.layers.0.mlp.up_proj.weight"].fill(np.inf)
    write_weights(folder, tensors, "F16")
    before = sorted(folder.iterdir())
    result = invoke("convert", str(folder), "--outtype", "q4_0")
    assert result.exit_code == 1
    assert "only finite ones can be quantized" in result.stderr
    assert sorted(folder.iterdir()) == before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--outtype", "q9"], "--outtype 'q9' is unknown; allowed are auto, f32, f16, bf16, q8_0, q1_0, q2_0, q4_0"),
        (["--outtype", "copy"], "--outtype 'copy' is unknown"),
        (["--imatrix", "x.gguf"], "--imatrix is for types of pyggml quantize; --outtype auto has no use for it"),
        (
            ["--outtype", "q4_0", "--split-max-size", "1M"],
            "--outtype q4_0 writes one whole file: leave out --vocab-only",
        ),
        (
            ["--outtype", "q4_0", "--vocab-only"],
            "--outtype q4_0 writes one whole file: leave out --vocab-only, ",
        ),
        (["--split-max-size", "1T"], "'1T' is no size: allowed is a number, maybe with K, M or G, such as"),
        (
            ["--outfile", "x-{type}.gguf"],
            "--outfile 'x-{type}.gguf': what is in braces is unknown; allowed are",
        ),
    ],
)
def test_wrong_use_is_one_line(options: list[str], message: str, tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path, "llama-sentencepiece")
    result = invoke("convert", str(folder), *options)
    assert result.exit_code == 2
    assert message in result.stderr


def test_more_files_than_can_be_counted_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pyggml.convert.shards.MAX_SHARDS", 3)
    folder = write_checkpoint(tmp_path, "llama-sentencepiece")
    result = invoke("convert", str(folder), "--split-max-tensors", "5")
    assert result.exit_code == 2
    assert "it would take 5 files; allowed are 3: raise the limit" in result.stderr


@pytest.mark.parametrize("output_type", ["F32", "F16", "Q8_0"])
def test_memory_stays_below_two_tensors(output_type: str, tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path, QWEN2)
    for path in folder.glob("model*"):
        path.unlink()
    shape = Shape(n_embd=1024, n_ff=4096)
    config = (folder / "config.json").read_text(encoding="utf-8")
    changes = (('"hidden_size": 64', '"hidden_size": 1024'), ('"intermediate_size": 96', '"intermediate_size": 4096'))
    for old, new in changes:
        config = config.replace(old, new)
    (folder / "config.json").write_text(config, encoding="utf-8")
    write_weights(folder, language_tensors(shape, biases=True, tied=True), "BF16")
    planned = plan_conversion(folder, tmp_path / "out.gguf", ConvertOptions(output_type=output_type))
    write_shards(planned)  # what is made once, such as kernels, does not count
    tracemalloc.start()
    write_shards(planned)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    largest = SourceTensor("x", folder, "F32", (shape.n_ff, shape.n_embd), 0).n_bytes
    assert peak < 2 * largest
    assert largest == 4 * np.prod((shape.n_ff, shape.n_embd))
