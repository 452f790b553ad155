"""A model in the shape of Qwen2.5 0.5B, whose rows are no multiple of 256: bytes as llama-quantize writes them."""

import hashlib
import json
from pathlib import Path

import pytest

from benchmarks.random_models import SHAPES, write_random_model
from tests.unit.cli_running import invoke

LARGE = json.loads((Path(__file__).parent.parent / "data" / "quantize_hashes.json").read_text())["large"]


def digest(path: Path) -> str:
    result = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 24):
            result.update(block)
    return result.hexdigest()


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("large") / "f16.gguf"
    write_random_model(path, SHAPES["0.5B"], "F16")
    assert digest(path) == LARGE["source"], "this is not the model that llama-quantize was given"
    return path


@pytest.mark.slow
@pytest.mark.parametrize("file_type", LARGE["hashes"])
def test_the_bytes_are_those_of_llama_quantize(file_type: str, source: Path) -> None:
    target = source.with_name("out.gguf")
    result = invoke("quantize", str(source), str(target), file_type, "2")
    assert result.exit_code == 0, result.output
    assert digest(target) == LARGE["hashes"][file_type]
