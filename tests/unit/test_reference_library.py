"""The oracle's library is found, is the right version, and its structures are laid out as the C code has them."""

import subprocess
import sys
from importlib.metadata import Distribution, PackageNotFoundError
from pathlib import Path

import pytest

from pyggml_reference import library as module
from pyggml_reference.library import VERSION, Log, OracleError, library


class StubWheel(Distribution):
    """An installed distribution of some version without any file."""

    def __init__(self, version: str) -> None:
        self.stub_version = version

    def read_text(self, filename: str) -> str | None:
        return f"Name: xllamacpp\nVersion: {self.stub_version}\n" if filename == "METADATA" else None

    def locate_file(self, path: object) -> object:  # type: ignore[override]  # the stub has no files
        return path


def test_is_loaded_once_without_importing_the_python_module() -> None:
    assert library() is library()
    script = "import sys; from pyggml_reference.library import library; library(); sys.exit('xllamacpp' in sys.modules)"
    folder = Path(module.__file__).parent.parent
    assert subprocess.run([sys.executable, "-c", script], cwd=folder, check=False).returncode == 0


def test_default_parameters_are_read_at_the_right_offsets() -> None:
    context = library().llama_context_default_params()
    assert (context.n_ctx, context.n_batch, context.n_ubatch, context.n_seq_max) == (512, 2048, 512, 1)
    assert (context.flash_attn_type, context.rope_scaling_type, context.yarn_ext_factor) == (-1, -1, -1.0)
    assert (context.type_k, context.type_v, context.moe_cache_size) == (1, 1, 0)
    assert (context.embeddings, context.offload_kqv, context.no_perf, context.ctx_other) == (False, True, True, None)
    model = library().llama_model_default_params()
    assert (model.vocab_only, model.use_extra_bufts, model.kv_overrides) == (False, True, None)


def test_another_version_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "distribution", lambda _name: StubWheel("2020.1.1"))
    with pytest.raises(OracleError, match=rf"needs xllamacpp {VERSION}, found 2020\.1\.1: pip install"):
        library.__wrapped__()


def test_a_missing_wheel_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(_name: str) -> Distribution:
        raise PackageNotFoundError

    monkeypatch.setattr(module, "distribution", missing)
    with pytest.raises(OracleError, match=f"not installed: pip install xllamacpp=={VERSION}"):
        library.__wrapped__()


def test_a_wheel_without_shared_object_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "distribution", lambda _name: StubWheel(VERSION))
    with pytest.raises(OracleError, match="holds no shared object"):
        library.__wrapped__()


def test_log_keeps_warnings_and_errors_with_their_continuations() -> None:
    log = Log()
    for level, line in ((2, b"loading\n"), (5, b"...\n"), (4, b"tensor "), (5, b"is broken\n"), (3, b"odd\n")):
        log.callback(level, line, None)
    assert log.text() == "tensor; is broken; odd"
    log.clear()
    assert log.text() == "llama.cpp logged no reason"
