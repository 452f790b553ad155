"""What is in the wheel, and what importing it costs."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from pyggml.package_data import demo_mmproj, demo_model
from pyggml_cuda import driver

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        str(folder),
        ".",
    ]
    subprocess.run(command, cwd=REPOSITORY, check=True)
    (path,) = folder.glob("*.whl")
    return path


def test_the_wheel_is_pure_python(wheel: Path) -> None:
    assert wheel.name.endswith("-py3-none-any.whl")


def test_the_wheel_has_all_sources_and_the_model_and_nothing_else(wheel: Path) -> None:
    found = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    roots = {"pyggml": "src", "pyggml_kernels": "kernels", "pyggml_cuda": "cuda"}
    expected = {
        path.relative_to(REPOSITORY / root).as_posix()
        for package, root in roots.items()
        for path in (REPOSITORY / root / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert found == expected
    models = {f"pyggml/data/{name}-q8_0.gguf" for name in ("demo-text", "demo-vl", "demo-vl-mmproj")}
    assert models <= found
    assert {f"{package}/py.typed" for package in roots} <= found


def test_the_model_that_sees_takes_16_megabytes_at_most() -> None:
    assert sum(path.stat().st_size for path in (demo_model("demo-vl"), demo_mmproj())) <= 16_000_000


def modules_after(statement: str) -> set[str]:
    """The modules that are loaded after a statement in a fresh interpreter."""
    code = f"{statement}\nimport sys\nprint(*sys.modules)"
    finished = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return set(finished.stdout.split())


def test_importing_loads_nothing() -> None:
    assert not modules_after("import pyggml") & {"numpy", "numba", "llvmlite", "click", "pyggml.model"}


def test_a_machine_without_a_gpu_never_imports_its_package() -> None:
    loaded = modules_after("import pyggml; pyggml.load(pyggml.demo_model(), n_ctx=256).logits([1])")
    assert not loaded & {"cupy", "pyggml_cuda"}


@pytest.mark.skipif(driver.is_installed(), reason="needs a machine without a GPU: one with a driver imports CuPy")
def test_to_look_for_a_gpu_takes_no_cupy() -> None:
    loaded = modules_after("import pyggml; pyggml.load(pyggml.demo_model(), n_ctx=256, n_gpu_layers='auto')")
    assert "pyggml_cuda.driver" in loaded
    assert "cupy" not in loaded


def test_an_unknown_name() -> None:
    import pyggml

    with pytest.raises(AttributeError, match="has no attribute 'lode'"):
        _ = pyggml.lode
