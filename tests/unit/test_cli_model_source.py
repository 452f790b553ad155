"""Which model the options name; downloads come from a server on loopback."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pyggml.cli.console import Console
from pyggml.cli.model_options import ModelOptions
from pyggml.cli.model_source import comes_with_tower, locate_model, locate_tower
from pyggml.cli.picture_options import NO_TOWER, TowerOptions
from pyggml.errors import DownloadError, UsageError
from pyggml.package_data import demo_mmproj, demo_model
from tests.unit.gguf_bytes import FileBytes, entry, string
from tests.unit.loopback import LoopbackServer, allow_loopback_alone


def options(**given: Any) -> ModelOptions:
    nothing: dict[str, Any] = {
        **dict.fromkeys(("model", "model_url", "hf_repo", "hf_file", "hf_token", "modelscope")),
        "offline": False,
    }
    return ModelOptions(**(nothing | given))


def test_the_path_or_the_model_in_the_package() -> None:
    assert locate_model(options(model=Path("a.gguf"))) == Path("a.gguf")
    assert locate_model(options()) == demo_model()


def test_pictures_are_shown_to_the_model_in_the_package_that_sees() -> None:
    source = options()
    assert comes_with_tower(source)
    model = locate_model(source, sees_pictures=True)
    assert model == demo_model("demo-vl")
    assert locate_tower(source, NO_TOWER, model, Console()).mmproj == demo_mmproj()
    without = TowerOptions(None, True, 0, 0)
    assert locate_tower(source, without, model, Console()) == without
    assert locate_tower(source, NO_TOWER, demo_model(), Console()) == NO_TOWER


def test_models_in_the_package_go_by_name_unless_there_is_such_a_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    source = options(model=Path("demo-vl"))
    assert comes_with_tower(source)
    assert locate_model(source) == demo_model("demo-vl")
    assert locate_tower(source, NO_TOWER, locate_model(source), Console()).mmproj == demo_mmproj()
    assert locate_model(options(model=Path("demo-text")), sees_pictures=True) == demo_model()
    Path("demo-vl").touch()
    assert locate_model(source) == Path("demo-vl")
    assert not comes_with_tower(source)


def test_two_models() -> None:
    with pytest.raises(UsageError, match="-mu and --modelscope each name a model: give one of them"):
        locate_model(options(model_url="http://a/b", modelscope="a/b"))
    with pytest.raises(UsageError, match="-hff names a file of a Hugging Face repository"):
        locate_model(options(hf_file="a"))


MODEL = b"GGUF and so on"
HUGGINGFACE, MODELSCOPE = "/user/repo/resolve/main", "/models/user/repo/resolve/master"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[LoopbackServer]:
    """Both hubs with one repository, and an empty cache."""
    allow_loopback_alone(monkeypatch)
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setenv("PYGGML_CACHE", str(tmp_path))
    with LoopbackServer() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        monkeypatch.setenv("MODELSCOPE_ENDPOINT", server.url)
        names = ["m-Q8_0.gguf", "m-Q4_0.gguf"]
        listed = [{"type": "file", "path": name, "size": len(MODEL)} for name in names]
        server.add("/api/models/user/repo/tree/main?recursive=true", json.dumps(listed).encode())
        entries = {"Data": {"Files": [{"Type": "blob", "Path": name, "Size": len(MODEL)} for name in names]}}
        path = "/api/v1/models/user/repo/repo/files?Revision=master&Recursive=true"
        server.add(path, json.dumps(entries).encode())
        for name in names:
            server.add(f"{HUGGINGFACE}/{name}", MODEL)
            server.add(f"{MODELSCOPE}/{name}", MODEL)
        yield server


@pytest.mark.parametrize(
    ("given", "asked"),
    [
        ({"hf_repo": "user/repo"}, f"{HUGGINGFACE}/m-Q8_0.gguf"),
        ({"hf_repo": "user/repo:q4_0"}, f"{HUGGINGFACE}/m-Q4_0.gguf"),
        ({"hf_repo": "user/repo:q8_0", "hf_file": "m-Q4_0.gguf"}, f"{HUGGINGFACE}/m-Q4_0.gguf"),
        ({"modelscope": "user/repo:Q4_0"}, f"{MODELSCOPE}/m-Q4_0.gguf"),
        ({"model_url": f"{MODELSCOPE}/m-Q8_0.gguf"}, f"{MODELSCOPE}/m-Q8_0.gguf"),
    ],
)
def test_downloads_and_then_offline(
    server: LoopbackServer, given: dict[str, str], asked: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if "model_url" in given:
        given = {"model_url": server.url + given["model_url"]}
    path = locate_model(options(**given))
    assert path.read_bytes() == MODEL
    assert server.paths()[-1] == asked
    assert "downloading" in capsys.readouterr().err
    server.requests.clear()
    assert locate_model(options(**given, offline=True)) == path
    assert server.requests == []
    with pytest.raises(DownloadError):
        locate_model(options(hf_repo="user/other", offline=True))


def test_token_is_the_option_or_from_the_environment(server: LoopbackServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "from-environment")
    locate_model(options(hf_repo="user/repo:q4_0"))
    locate_model(options(hf_repo="user/repo:q8_0", hf_token="given"))
    headers = [request.headers.get("authorization") for request in server.requests]
    assert headers == ["Bearer from-environment"] * 2 + ["Bearer given"] * 2


def offer(server: LoopbackServer, **files: bytes) -> None:
    """A repository with these files, named by what precedes `.gguf`."""
    listed = [{"type": "file", "path": f"{name}.gguf", "size": len(data)} for name, data in files.items()]
    server.add("/api/models/user/repo/tree/main?recursive=true", json.dumps(listed).encode())
    for name, data in files.items():
        server.add(f"{HUGGINGFACE}/{name}.gguf", data)


def header(architecture: str) -> bytes:
    return FileBytes([entry("general.architecture", 8, string(architecture))]).build()


def test_the_tower_comes_with_a_model_that_sees(server: LoopbackServer, tmp_path: Path) -> None:
    offer(server, text=header("qwen2vl"), mmproj=MODEL)
    source = options(hf_repo="user/repo")
    model = locate_model(source)
    found = locate_tower(source, NO_TOWER, model, Console())
    assert found.mmproj is not None
    assert found.mmproj.read_bytes() == MODEL
    own = TowerOptions(Path("own.gguf"), False, 0, 0)
    assert locate_tower(source, own, model, Console()) == own
    without = TowerOptions(None, True, 0, 0)
    assert locate_tower(source, without, model, Console()) == without
    assert locate_tower(options(model=model), NO_TOWER, model, Console()) == NO_TOWER


def test_a_model_that_sees_runs_without_its_tower(server: LoopbackServer, capsys: pytest.CaptureFixture[str]) -> None:
    offer(server, text=header("qwen2vl"))
    source = options(hf_repo="user/repo")
    assert locate_tower(source, NO_TOWER, locate_model(source), Console()) == NO_TOWER
    assert "no pictures can be shown: " in capsys.readouterr().err


def test_a_blind_model_asks_for_no_tower(server: LoopbackServer) -> None:
    offer(server, text=header("qwen2"), mmproj=MODEL)
    source = options(hf_repo="user/repo")
    model = locate_model(source)
    server.requests.clear()
    assert locate_tower(source, NO_TOWER, model, Console()) == NO_TOWER
    assert server.requests == []
