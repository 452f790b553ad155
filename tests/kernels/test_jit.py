"""Where compiled kernels are kept, and when they are compiled."""

import ast
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, cast

import numpy as np
import pytest

import pyggml_kernels
from pyggml_kernels import jit
from pyggml_kernels.elementwise import add
from pyggml_kernels.jit import Kernel

PACKAGE = Path(pyggml_kernels.__file__).parent
#: Names the kernels that are compiled, and says where they are kept and what Numba's own setting is afterwards.
SCRIPT = """
import json
import numba
from pyggml.backend.cpu import on_kernel_compilation
from pyggml_kernels import jit
from pyggml_kernels.elementwise import add, copy_rows
names = []
on_kernel_compilation(names.append)
assert names == []
for kernel in (add, add, copy_rows):
    assert kernel.address
print(json.dumps([names, str(jit.kernel_cache_directory()), numba.config.CACHE_DIR]))
"""


def start(environment: Mapping[str, str]) -> tuple[list[str], Path, str]:
    """A new process that uses two kernels: the names of those compiled, their directory, Numba's setting."""
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith(("NUMBA_", "PYGGML_", "XDG_"))
    }
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], env={**inherited, **environment}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    names, directory, setting = json.loads(done.stdout)
    return names, Path(directory), setting


def test_kernels_are_compiled_at_the_first_start_alone(tmp_path: Path) -> None:
    environment = {"PYGGML_CACHE": str(tmp_path / "new" / "cache")}
    names, directory, setting = start(environment)
    assert names == ["add", "copy_rows"]
    assert directory == tmp_path / "new" / "cache" / "kernels" / jit.source_hash()
    assert len(list(directory.rglob("*.nbi"))) == 2
    assert setting == "", "Numba's setting is the user's, and other packages' kernels do not belong in our directory"
    assert start(environment)[0] == []
    # What another version of Python left behind is no compiled kernel.
    for file in list(directory.rglob("*copy_rows*")):
        file.rename(file.with_name(file.name.replace(".py3", ".py2")))
    assert start(environment)[0] == ["copy_rows"]


def test_kernels_compiled_in_different_processes_call_their_own_helpers(tmp_path: Path) -> None:
    """Both are made by the same function, so their helpers have the same names."""
    environment = {**os.environ, "PYGGML_CACHE": str(tmp_path)}
    environment.pop("NUMBA_CACHE_DIR", None)
    script = """
import sys
import numpy as np
from pyggml_kernels.formats import format_named
weights = np.random.default_rng(1).standard_normal((3, 1024)).astype(np.float32)
print([format_named(name).quantize(weights).tobytes().hex() for name in sys.argv[1:]])
"""

    def quantize(*names: str) -> list[str]:
        command = [sys.executable, "-c", script, *names]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return cast("list[str]", ast.literal_eval(done.stdout))

    assert quantize("IQ2_S") + quantize("IQ3_S") == quantize("IQ2_S", "IQ3_S")


def test_numbas_own_cache_directory_is_respected(tmp_path: Path) -> None:
    environment = {"NUMBA_CACHE_DIR": str(tmp_path / "numba"), "PYGGML_CACHE": str(tmp_path / "pyggml")}
    names, directory, setting = start(environment)
    assert names == ["add", "copy_rows"]
    assert directory == tmp_path / "numba" / "pyggml" / jit.source_hash()
    assert setting == str(tmp_path / "numba")
    assert not (tmp_path / "pyggml").exists()
    assert start(environment)[0] == []


def test_a_cache_that_cannot_be_written_is_replaced_by_a_temporary_one(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "temporary").mkdir()
    environment = {"PYGGML_CACHE": str(tmp_path / "file" / "cache"), "TMPDIR": str(tmp_path / "temporary")}
    for _ in range(2):  # nobody else's directory is believed, not even that of an earlier start
        names, directory, _ = start(environment)
        assert names == ["add", "copy_rows"]
        assert directory.parent == tmp_path / "temporary"
        assert directory.name.startswith("pyggml-kernels-")
        assert not directory.exists(), "it goes with the process"


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in ("PYGGML_CACHE", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", lambda: Path("/home/someone"))
    return monkeypatch


def test_the_users_cache_directory(environment: pytest.MonkeyPatch) -> None:
    environment.setattr(sys, "platform", "linux")
    assert jit.user_cache_directory() == Path("/home/someone/.cache/pyggml")
    environment.setenv("XDG_CACHE_HOME", "")
    assert jit.user_cache_directory() == Path("/home/someone/.cache/pyggml")
    environment.setenv("XDG_CACHE_HOME", "/caches")
    assert jit.user_cache_directory() == Path("/caches/pyggml")
    environment.setattr(sys, "platform", "win32")
    assert jit.user_cache_directory() == Path("/home/someone/AppData/Local/pyggml")
    environment.setenv("LOCALAPPDATA", "/local")
    assert jit.user_cache_directory() == Path("/local/pyggml")
    environment.setenv("PYGGML_CACHE", "/chosen")
    assert jit.user_cache_directory() == Path("/chosen")


def copy_of_jit(root: Path) -> ModuleType:
    """The module of a copy of the package."""
    specification = importlib.util.spec_from_file_location("copy_of_jit", root / "jit.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def test_the_source_hash_changes_with_any_file(tmp_path: Path) -> None:
    root = tmp_path / "pyggml_kernels"
    shutil.copytree(PACKAGE, root, ignore=shutil.ignore_patterns("__pycache__"))

    def hash_of_copy() -> str:
        found: Any = copy_of_jit(root).source_hash()
        assert isinstance(found, str)
        return found

    hashes = [hash_of_copy()]
    assert hashes == [jit.source_hash()]
    with (root / "formats" / "q4_0.py").open("a") as file:
        file.write("#")
    hashes.append(hash_of_copy())
    (root / "formats" / "q4_0.py").rename(root / "formats" / "q4_00.py")
    hashes.append(hash_of_copy())
    (root / "formats" / "q4_00.py").unlink()
    hashes.append(hash_of_copy())
    (root / "formats" / "__pycache__").mkdir()
    (root / "formats" / "__pycache__" / "q4_0.pyc").touch()
    assert len(set(hashes)) == 4
    assert hash_of_copy() == hashes[-1]


def test_a_kernel_can_be_called_and_has_an_address() -> None:
    x, out = np.array([1, 2, 3], np.float32), np.zeros(3, np.float32)
    words = np.array([x.ctypes.data, x.ctypes.data, out.ctypes.data, 3, 2, 0], np.int64)
    add(words.ctypes.data, 0, 0)
    add.quick(words.ctypes.data, 1, 0)
    assert out.tolist() == [2, 4, 6]
    assert isinstance(add, Kernel)
    assert add.name == "add"
    assert add.address == add.address > 0
