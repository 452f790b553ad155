"""Machine code for one architecture: compiled once, then found by the kernel's source; no GPU is needed."""

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("cupy", reason="needs CuPy, which the extra [cuda] brings")

import cupy
from cupy.cuda import nvrtc

from pyggml_cuda import cubins

SOURCE = "template <int N> __global__ void fill(int* out) { out[threadIdx.x] = N; }"


class FakeModule:
    """What stands for a module that a GPU would load."""

    def __init__(self, path: str) -> None:
        self.path = Path(path)

    def get_function(self, name: str) -> tuple[Path, str]:
        return self.path, name


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUPY_CACHE_DIR", str(tmp_path / "cubins"))
    monkeypatch.setattr(cupy, "RawModule", FakeModule)


def test_code_is_made_once_for_each_source(monkeypatch: pytest.MonkeyPatch) -> None:
    first: Any = cubins.compiled(SOURCE, "fill<3>", "90a")
    path, name = first
    assert name == "_Z4fillILi3EEvPi"
    code = path.read_bytes()
    assert code.startswith(b"\x7fELF")
    assert name.encode() in code
    other: Any = cubins.compiled(SOURCE.replace("= N", "= N + 1"), "fill<3>", "90a")
    assert other[0] != path
    monkeypatch.setattr(nvrtc, "createProgram", None)
    assert cubins.compiled(SOURCE, "fill<3>", "90a") == first


def test_a_kernel_that_does_not_compile_is_named() -> None:
    with pytest.raises(RuntimeError, match=r"fill<x> does not compile: .*undefined"):
        cubins.compiled(SOURCE, "fill<x>", "90a")
