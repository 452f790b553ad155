"""Models by name: listing, choosing, and fetching from loopback copies of the two hubs."""

import hashlib
import json
import logging
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pyggml.errors import DownloadError, UsageError
from pyggml.hub import Network, resolve_huggingface, resolve_modelscope
from tests.unit.loopback import LoopbackServer, allow_loopback_alone

QUICK = Network(n_attempts=2, backoff_seconds=0, timeout_seconds=5)
OFFLINE = Network(offline=True)
TREE = "/api/models/me/tiny-GGUF/tree/main?recursive=true"
FILES = "/api/v1/models/me/tiny-GGUF/repo/files?Revision=master&Recursive=true"


@pytest.fixture(autouse=True)
def no_other_network(monkeypatch: pytest.MonkeyPatch) -> None:
    allow_loopback_alone(monkeypatch)


@pytest.fixture
def server() -> Iterator[LoopbackServer]:
    with LoopbackServer() as server:
        yield server


def body(path: str) -> bytes:
    return f"weights of {path}".encode() * 100


def huggingface_entry(path: str) -> dict[str, Any]:
    data = body(path)
    large = {"oid": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 130}
    return {"type": "file", "oid": "0" * 40, "size": len(data), "lfs": large, "path": path}


def add_huggingface(server: LoopbackServer, *paths: str) -> None:
    entries: list[dict[str, Any]] = [{"type": "directory", "oid": "1" * 40, "size": 0, "path": "dir.gguf"}]
    server.add(TREE, json.dumps(entries + [huggingface_entry(path) for path in paths]).encode())
    for path in paths:
        server.add(f"/me/tiny-GGUF/resolve/main/{path}", body(path))


def add_modelscope(server: LoopbackServer, *paths: str) -> None:
    entries: list[dict[str, Any]] = [{"Type": "tree", "Path": "dir.gguf", "Size": 0, "Sha256": ""}]
    for path in paths:
        sha256 = hashlib.sha256(body(path)).hexdigest()
        entries.append({"Type": "blob", "Path": path, "Name": path, "Size": len(body(path)), "Sha256": sha256})
        server.add(f"/models/me/tiny-GGUF/resolve/master/{path}", body(path))
    server.add(FILES, json.dumps({"Code": 200, "Success": True, "Data": {"Files": entries}}).encode())


Add = Callable[..., None]
Resolve = Callable[..., Path]
HUBS = pytest.mark.parametrize(
    ("add", "resolve"), [(add_huggingface, resolve_huggingface), (add_modelscope, resolve_modelscope)]
)


@HUBS
def test_choosing_fetching_and_coming_back(server: LoopbackServer, tmp_path: Path, add: Add, resolve: Resolve) -> None:
    add(server, "README.md", "mmproj-Q4_K_M.gguf", "tiny-F16.gguf", "tiny-Q4_K_M.gguf", "tiny-Q8_0.gguf")
    seen: list[str] = []

    def progress(name: str, done: int, total: int | None) -> None:
        seen.append(name)

    path = resolve("me/tiny-GGUF", tmp_path, endpoint=f"{server.url}/", progress=progress, network=QUICK)
    assert path.name == "tiny-Q4_K_M.gguf"
    assert path.parent.parts[-2:] == ("me", "tiny-GGUF")
    assert path.read_bytes() == body("tiny-Q4_K_M.gguf")
    assert set(seen) == {"tiny-Q4_K_M.gguf"}
    assert len(server.requests) == 2
    assert resolve("me/tiny-GGUF:", tmp_path, endpoint=server.url, network=QUICK) == path
    assert len(server.requests) == 3, "the listing alone, as the hash in it is the file's"
    path_f16 = resolve("me/tiny-GGUF:f16", tmp_path, endpoint=server.url, network=QUICK)
    assert path_f16.name == "tiny-F16.gguf"
    n_requests = len(server.requests)
    assert resolve("me/tiny-GGUF", tmp_path, endpoint=server.url, network=OFFLINE) == path
    assert resolve("me/tiny-GGUF:F16", tmp_path, endpoint=server.url, network=OFFLINE) == path_f16
    assert len(server.requests) == n_requests


@HUBS
def test_a_changed_model_is_fetched_again(server: LoopbackServer, tmp_path: Path, add: Add, resolve: Resolve) -> None:
    add(server, "tiny-Q8_0.gguf")
    path = resolve("me/tiny-GGUF", tmp_path, endpoint=server.url, network=QUICK)
    path.with_name(f"{path.name}.json").write_text(json.dumps({"sha256": "0" * 64, "size": path.stat().st_size}))
    path.write_bytes(path.read_bytes()[::-1])
    assert resolve("me/tiny-GGUF", tmp_path, endpoint=server.url, network=QUICK).read_bytes() == body("tiny-Q8_0.gguf")


@HUBS
def test_shards(server: LoopbackServer, tmp_path: Path, add: Add, resolve: Resolve) -> None:
    shards = [f"Q4_K_M/tiny-Q4_K_M-0000{index}-of-00003.gguf" for index in (1, 2, 3)]
    add(server, *reversed(shards))
    path = resolve("me/tiny-GGUF:q4_k_m", tmp_path, endpoint=server.url, network=QUICK)
    assert path.as_posix().endswith(shards[0])
    assert [p.read_bytes() for p in sorted(path.parent.glob("*.gguf"))] == [body(shard) for shard in shards]
    (path.parent / "tiny-Q4_K_M-00002-of-00003.gguf").unlink()
    with pytest.raises(
        DownloadError, match=r"the cache lacks Q4_K_M/tiny-Q4_K_M-00002-of-00003.gguf of .*/me/tiny-GGUF"
    ):
        resolve("me/tiny-GGUF", tmp_path, endpoint=server.url, network=OFFLINE)
    add(server, shards[0], shards[2])
    with pytest.raises(DownloadError, match="the split model lacks Q4_K_M/tiny-Q4_K_M-00002-of-00003"):
        resolve("me/tiny-GGUF", tmp_path / "b", endpoint=server.url, network=QUICK)


@HUBS
def test_quants_that_are_not_there(server: LoopbackServer, tmp_path: Path, add: Add, resolve: Resolve) -> None:
    add(server, "README.md", "mmproj-F16.gguf", "tiny-Q8_0.gguf", "tiny-Q4_0.gguf")
    expected = (
        r"me/tiny-GGUF has no GGUF file of quantization 'Q4_K'; it has mmproj-F16\.gguf, tiny-Q8_0\.gguf, tiny-Q4_0"
    )
    with pytest.raises(DownloadError, match=expected):
        resolve("me/tiny-GGUF:Q4_K", tmp_path, endpoint=server.url, network=QUICK)
    add(server, "mmproj-F16.gguf")
    with pytest.raises(DownloadError, match="no GGUF file that is a model, Q4_K_M or Q8_0 or other; it has mmproj-F16"):
        resolve("me/tiny-GGUF", tmp_path, endpoint=server.url, network=QUICK)
    add(server, "README.md", "model.safetensors")
    with pytest.raises(DownloadError, match="has no GGUF file: look for a repository of GGUF"):
        resolve("me/tiny-GGUF", tmp_path, endpoint=server.url, network=QUICK)
    add(server, *[f"mmproj-{index}.gguf" for index in range(50)])
    with pytest.raises(DownloadError, match=r"mmproj-39\.gguf and 10 more$"):
        resolve("me/tiny-GGUF", tmp_path, endpoint=server.url, network=QUICK)


@HUBS
def test_hostile_names_are_not_taken(server: LoopbackServer, tmp_path: Path, add: Add, resolve: Resolve) -> None:
    hostile = ["../../evil-Q4_K_M.gguf", "/etc/evil-Q4_K_M.gguf", "a/../../b-Q4_K_M.gguf", "C:\\x-Q4_K_M.gguf"]
    add(server, *hostile, "x" * 300 + "-Q4_K_M.gguf", "good-Q8_0.gguf")
    path = resolve("me/tiny-GGUF", tmp_path / "cache", endpoint=server.url, network=QUICK)
    assert path.name == "good-Q8_0.gguf"
    assert not list(tmp_path.rglob("*evil*"))


def test_a_named_file(server: LoopbackServer, tmp_path: Path) -> None:
    add_huggingface(server, "tiny-Q4_K_M.gguf", "more/mmproj-F16.gguf")
    path = resolve_huggingface(
        "me/tiny-GGUF", tmp_path, file="more/mmproj-F16.gguf", endpoint=server.url, network=QUICK
    )
    assert path.read_bytes() == body("more/mmproj-F16.gguf")
    with pytest.raises(DownloadError, match=r"no GGUF file named 'x\.gguf'; it has tiny-Q4_K_M\.gguf, more/mmproj"):
        resolve_huggingface("me/tiny-GGUF", tmp_path, file="x.gguf", endpoint=server.url, network=QUICK)


def test_pages_and_the_token(server: LoopbackServer, tmp_path: Path) -> None:
    add_huggingface(server, "a-Q2_K.gguf")
    with LoopbackServer() as other:
        link = f'<{other.url}/api/models/me/tiny-GGUF/tree/main?recursive=true&cursor=abc%3D>; rel="next"'
        server.resources[TREE].headers["Link"] = link
        server.add(f"{TREE}&cursor=abc%3D", json.dumps([huggingface_entry("b c#1 5%-Q4_K_M.gguf")]).encode())
        other.add("/cdn/b", body("b c#1 5%-Q4_K_M.gguf"))
        server.add("/me/tiny-GGUF/resolve/main/b%20c%231%205%25-Q4_K_M.gguf", redirect=f"{other.url}/cdn/b")
        path = resolve_huggingface("me/tiny-GGUF", tmp_path, endpoint=server.url, token="hf_secret", network=QUICK)
        assert path.read_bytes() == body("b c#1 5%-Q4_K_M.gguf")
        assert {request.headers.get("authorization") for request in server.requests} == {"Bearer hf_secret"}
        assert other.paths() == ["/cdn/b"]
        assert "authorization" not in other.requests[0].headers


def test_an_endless_listing_ends(server: LoopbackServer, tmp_path: Path) -> None:
    add_huggingface(server, "a-Q4_K_M.gguf")
    server.resources[TREE].headers["Link"] = f'<{TREE}>; rel="next"'
    resolve_huggingface("me/tiny-GGUF", tmp_path, endpoint=server.url, network=QUICK)
    assert len(server.requests) == 101


def test_a_file_outside_of_large_file_storage(server: LoopbackServer, tmp_path: Path) -> None:
    entry = {"type": "file", "oid": "0" * 40, "size": len(body("a.gguf")), "path": "a.gguf"}
    server.add(TREE, json.dumps([entry]).encode())
    resource = server.add("/me/tiny-GGUF/resolve/main/a.gguf", body("a.gguf"), etag='"1"')
    for _ in range(2):
        path = resolve_huggingface("me/tiny-GGUF", tmp_path, endpoint=server.url, network=QUICK)
        assert path.read_bytes() == body("a.gguf")
    assert server.requests[-1].headers["if-none-match"] == '"1"'
    resource.body, resource.etag = b"short", '"2"'
    with pytest.raises(DownloadError, match="should have 1,700 bytes, the server sends 5"):
        resolve_huggingface("me/tiny-GGUF", tmp_path, endpoint=server.url, network=QUICK)


def test_modelscope_s_unknown_sizes(server: LoopbackServer, tmp_path: Path) -> None:
    add_modelscope(server, "a.gguf")
    listing = json.loads(server.resources[FILES].body)
    listing["Data"]["Files"][1] |= {"Size": 0, "Sha256": None}
    server.add(FILES, json.dumps(listing).encode())
    assert resolve_modelscope("me/tiny-GGUF", tmp_path, endpoint=server.url, network=QUICK).read_bytes() == body(
        "a.gguf"
    )


@HUBS
@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (b"<html>", "the answer is no JSON"),
        (b"[" * 100_000, "the answer is no JSON"),
        (b'{"error": "x"}', "the answer is not a list of files"),
        (b'{"Data": {"Files": [3]}}', "the answer is not a list of files"),
        (b'[1, "x"]', "the answer is not a list of files"),
    ],
)
def test_answers_that_are_no_listing(
    server: LoopbackServer, tmp_path: Path, add: Add, resolve: Resolve, answer: bytes, message: str
) -> None:
    server.add(TREE, answer)
    server.add(FILES, answer)
    with pytest.raises(DownloadError, match=message):
        resolve("me/tiny-GGUF", tmp_path, endpoint=server.url, network=QUICK)


def test_a_listing_that_is_too_long(server: LoopbackServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add_huggingface(server, "a.gguf")
    monkeypatch.setattr("pyggml.hub.session.MAX_JSON_BYTES", 50)
    with pytest.raises(DownloadError, match="the answer is longer than 50 bytes"):
        resolve_huggingface("me/tiny-GGUF", tmp_path, endpoint=server.url, network=QUICK)


@HUBS
@pytest.mark.parametrize(("status", "message"), [(404, "not found"), (401, "access denied"), (403, "access denied")])
def test_repositories_that_are_not_there(
    server: LoopbackServer, tmp_path: Path, add: Add, resolve: Resolve, status: int, message: str
) -> None:
    add(server, "a.gguf")
    for path in {TREE, FILES} & set(server.resources):
        server.resources[path].statuses = deque([status])
    with pytest.raises(DownloadError, match=f"me/tiny-GGUF/.*{message}"):
        resolve("me/tiny-GGUF", tmp_path, endpoint=server.url, network=QUICK)


@HUBS
def test_without_a_server_the_cache_will_do(
    tmp_path: Path, add: Add, resolve: Resolve, caplog: pytest.LogCaptureFixture
) -> None:
    with LoopbackServer() as server:
        add(server, "a-Q8_0.gguf")
        path = resolve("me/tiny-GGUF", tmp_path, endpoint=server.url, network=QUICK)
    with caplog.at_level(logging.WARNING):
        assert resolve("me/tiny-GGUF", tmp_path, endpoint=server.url, network=QUICK) == path
    assert f"no connection to {server.host}" in caplog.text
    with pytest.raises(DownloadError, match=f"no connection to {server.host}"):
        resolve("me/tiny-GGUF:Q4_0", tmp_path, endpoint=server.url, network=QUICK)
    with pytest.raises(DownloadError, match=rf"nothing of {server.host}/me/other is in the cache .*without --offline"):
        resolve("me/other", tmp_path, endpoint=server.url, network=OFFLINE)
    with pytest.raises(
        DownloadError, match=r"the cache of .*tiny-GGUF has no GGUF file of quantization 'Q4_0'; it has a"
    ):
        resolve("me/tiny-GGUF:Q4_0", tmp_path, endpoint=server.url, network=OFFLINE)


@pytest.mark.parametrize(
    "name", ["tiny", "a/b/c", "a/..", "../b", "a/b:c:d", "a/b:../x", "a b/c", "", "/", "a/-b", ":q"]
)
def test_malformed_names(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="is no model name: it should be user/repo or user/repo:quant"):
        resolve_huggingface(name, tmp_path)


def test_endpoints_of_the_environment(server: LoopbackServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add_huggingface(server, "a.gguf")
    add_modelscope(server, "b.gguf")
    monkeypatch.setenv("HF_ENDPOINT", server.url)
    monkeypatch.setenv("MODELSCOPE_ENDPOINT", server.url)
    assert resolve_huggingface("me/tiny-GGUF", tmp_path, network=QUICK).name == "a.gguf"
    assert resolve_modelscope("me/tiny-GGUF", tmp_path, network=QUICK).name == "b.gguf"
    monkeypatch.setenv("MODEL_ENDPOINT", "huggingface.example")
    with pytest.raises(UsageError, match=r"'huggingface\.example' is no URL to download from"):
        resolve_huggingface("me/tiny-GGUF", tmp_path, network=QUICK)


@HUBS
def test_the_tower_of_a_model(server: LoopbackServer, tmp_path: Path, add: Add, resolve: Resolve) -> None:
    add(server, "mmproj-F16.gguf", "mmproj-Q8_0.gguf", "tiny-Q8_0.gguf")
    model = resolve("me/tiny-GGUF", tmp_path, endpoint=server.url, network=QUICK)
    tower = resolve("me/tiny-GGUF", tmp_path, tower_of=model, endpoint=server.url, network=QUICK)
    assert (tower.name, tower.read_bytes()) == ("mmproj-Q8_0.gguf", body("mmproj-Q8_0.gguf"))
    assert resolve("me/tiny-GGUF", tmp_path, tower_of=model, endpoint=server.url, network=OFFLINE) == tower
    add(server, "tiny-Q8_0.gguf")
    with pytest.raises(
        DownloadError, match=r"has no vision tower, a file with mmproj in its name, for tiny-Q8_0\.gguf"
    ):
        resolve("me/tiny-GGUF", tmp_path, tower_of=model, endpoint=server.url, network=QUICK)
