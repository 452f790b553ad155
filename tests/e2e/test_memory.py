"""Peak memory of running a large file: little more than the file itself, which stays mapped."""

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import peak_memory as launcher
from benchmarks.random_models import Shape, write_random_model
from pyggml.gguf import GGUFFile

pytestmark = pytest.mark.skipif(
    sys.platform == "win32", reason="os.wait4, which tells a child's peak memory, is Unix's"
)

MEGABYTE = 1 << 20
N_CTX = 1024


def peak_memory(folder: Path, *arguments: str) -> int:
    """Bytes of memory that running pyggml took at most; what the tests take themselves does not count."""
    target = folder / "peak"
    command = [sys.executable, "-m", "pyggml", *arguments]
    subprocess.run([sys.executable, "-I", "-S", launcher.__file__, str(target), *command], check=True)
    return int(target.read_text(encoding="ascii"))


def cache_bytes(shape: Shape) -> int:
    """Keys and values of a whole context in F16."""
    head_size = shape.n_embd // shape.n_heads
    return 2 * 2 * shape.n_layers * shape.n_kv_heads * head_size * N_CTX


def check(path: Path, shape: Shape, format_name: str) -> None:
    write_random_model(path, shape, format_name)
    size = path.stat().st_size
    with GGUFFile.open(path) as file:
        assert file.require("qwen2.block_count", int) == shape.n_layers
    peak = peak_memory(
        path.parent, "run", "-m", str(path), "-c", str(N_CTX), "-p", "Hello, world", "-n", "3", "--temp", "0"
    )
    assert size < peak < 1.15 * size + cache_bytes(shape) + 300 * MEGABYTE


def test_a_file_of_a_quarter_of_a_gigabyte(tmp_path: Path) -> None:
    check(tmp_path / "model.gguf", Shape(8, 1536, 12, 2, 8960, n_vocab=32000), "Q4_K")


@pytest.mark.slow
def test_a_file_of_a_gigabyte(tmp_path: Path) -> None:
    check(tmp_path / "model.gguf", Shape(34, 1536, 12, 2, 8960), "Q4_K")
