"""`pyggml convert` writes the very files that llama.cpp's converter wrote: names, metadata, tensors, every byte.

The hashes are of files by convert_hf_to_gguf.py of the llama.cpp that the oracle was built from, with transformers
4.57.6, given these checkpoints and options and a folder as --outfile. As it does not recognize the pre-tokenizers of
made-up vocabularies, it was told their names. A vocabulary alone it does not pad to 32 bytes; the hash is that of the
padded file.
"""

import hashlib
import json
import shutil
from pathlib import Path

import pytest

from tests.checkpoints import write_checkpoint
from tests.qwen2_5_checkpoint import QWEN2_5_HALF_BILLION, SHRUNK, write_qwen2_5
from tests.unit.cli_running import invoke

HASHES: dict[str, dict[str, dict[str, str]]] = json.loads(
    (Path(__file__).parent.parent / "data" / "convert_hashes.json").read_text()
)


def converted(folder: Path, target: Path, *options: str) -> dict[str, str]:
    """The hashes of the files that converting to this folder gives."""
    target.mkdir()
    result = invoke("convert", str(folder), "--outfile", str(target), *options)
    assert result.exit_code == 0, result.output
    return {path.name: digest(path) for path in sorted(target.iterdir())}


def digest(path: Path) -> str:
    result = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 24):
            result.update(block)
    return result.hexdigest()


@pytest.mark.parametrize("words", HASHES["small"])
def test_the_files_are_those_of_llama_cpp(words: str, tmp_path: Path) -> None:
    name, *options = words.split()
    assert converted(write_checkpoint(tmp_path, name), tmp_path / "out", *options) == HASHES["small"][words]


def test_a_large_tensor_is_converted_piece_by_piece(tmp_path: Path, shared: Path) -> None:
    name = "qwen2.5-shrunk"
    (tmp_path / name).mkdir()
    write_qwen2_5(tmp_path / name, shared / "tokenizer" / "ggml-vocab-qwen2.gguf", SHRUNK)
    assert converted(tmp_path / name, tmp_path / "out") == HASHES["shrunk"][name]


@pytest.mark.slow
def test_the_shape_of_qwen2_5_half_billion(tmp_path: Path, shared: Path) -> None:
    name = "Qwen2.5-0.5B-Instruct"
    (tmp_path / name).mkdir()
    write_qwen2_5(tmp_path / name, shared / "tokenizer" / "ggml-vocab-qwen2.gguf", QWEN2_5_HALF_BILLION)
    for words, hashes in HASHES["large"].items():
        assert converted(tmp_path / name, tmp_path / "out", *words.split()[1:]) == hashes
        shutil.rmtree(tmp_path / "out")


@pytest.mark.parametrize(
    ("name", "folder", "options"),
    [
        ("demo-text-f16.gguf", "demo-text-hf", []),
        ("demo-vl-f16.gguf", "demo-vl-hf", ["--model-name", "Demo Vl2 Hf"]),
        ("demo-vl-mmproj-f16.gguf", "demo-vl-hf", ["--mmproj", "--model-name", "Demo Vl2 Hf"]),
    ],
)
def test_trained_models(name: str, folder: str, options: list[str], shared: Path, tmp_path: Path) -> None:
    hashes = converted(shared / "models" / folder, tmp_path / "out", *options)
    assert list(hashes.values()) == [digest(shared / "models" / name)]
