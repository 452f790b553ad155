"""`pyggml quantize` writes the very bytes that llama-quantize wrote, for every file type."""

import hashlib
import json
import shutil
from pathlib import Path

import pytest

from pyggml.package_data import demo_model
from tests.model.importance_file import write_importance, write_legacy_importance
from tests.unit.cli_running import invoke

HASHES: dict[str, str] = json.loads((Path(__file__).parent.parent / "data" / "quantize_hashes.json").read_text())[
    "hashes"
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("quantize")
    shutil.copy(demo_model(), made / "demo.gguf")
    write_importance(made / "imatrix.gguf")
    write_legacy_importance(made / "imatrix.dat")
    return made


@pytest.mark.parametrize("words", HASHES)
def test_the_bytes_are_those_of_llama_quantize(words: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The path of the importance matrix is part of the file.
    monkeypatch.chdir(folder)
    *options, file_type = words.split()
    result = invoke("quantize", "--allow-requantize", *options, "demo.gguf", "out.gguf", file_type, "2")
    assert result.exit_code == 0, result.output
    assert hashlib.sha256((folder / "out.gguf").read_bytes()).hexdigest() == HASHES[words]


@pytest.mark.parametrize("n_threads", ["1", "3"])
def test_the_bytes_do_not_depend_on_threads(n_threads: str, folder: Path) -> None:
    target = folder / f"threads-{n_threads}.gguf"
    result = invoke("quantize", "--allow-requantize", str(folder / "demo.gguf"), str(target), "Q4_K_M", n_threads)
    assert result.exit_code == 0, result.output
    assert hashlib.sha256(target.read_bytes()).hexdigest() == HASHES["Q4_K_M"]
