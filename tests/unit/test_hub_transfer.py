"""Downloads of single files over loopback: whole and verified, or a clear error."""

import hashlib
import logging
import threading
from collections import deque
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pyggml.errors import DownloadError, UsageError
from pyggml.hub import Network, download_url
from tests.unit.loopback import LoopbackServer, allow_loopback_alone

BODY = bytes(range(256)) * 1000
SHA256 = hashlib.sha256(BODY).hexdigest()
QUICK = Network(n_attempts=4, backoff_seconds=0, timeout_seconds=5)
OFFLINE = Network(offline=True)


@pytest.fixture(autouse=True)
def no_other_network(monkeypatch: pytest.MonkeyPatch) -> None:
    allow_loopback_alone(monkeypatch)


@pytest.fixture
def server() -> Iterator[LoopbackServer]:
    with LoopbackServer() as server:
        yield server


@pytest.fixture
def other_server() -> Iterator[LoopbackServer]:
    with LoopbackServer() as server:
        yield server


class Recorder:
    """A `Progress` that remembers."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, int, int | None]] = []

    def __call__(self, name: str, done: int, total: int | None) -> None:
        self.calls.append((name, done, total))


def parts(cache: Path) -> list[str]:
    """The files of unfinished downloads."""
    return sorted(path.name for path in cache.rglob("*.part*"))


def test_a_download_and_its_cache(server: LoopbackServer, tmp_path: Path) -> None:
    server.add("/a%20b/model.gguf?x=%2F", BODY, etag='"1"')
    progress = Recorder()
    url = f"{server.url}/a%20b/model.gguf?x=%2F#ignored"
    path = download_url(url, tmp_path, progress=progress, network=QUICK)
    assert path.read_bytes() == BODY
    assert path.name == "model.gguf"
    assert path.is_relative_to(tmp_path / "models")
    assert parts(tmp_path) == []
    assert progress.calls[0] == ("model.gguf", 0, len(BODY))
    assert progress.calls[-1] == ("model.gguf", len(BODY), len(BODY))
    assert [done for _, done, _ in progress.calls] == sorted({done for _, done, _ in progress.calls})
    assert server.requests[0].headers["accept-encoding"] == "identity"
    assert server.requests[0].headers["user-agent"].startswith("pyggml/")

    assert download_url(url, tmp_path, network=QUICK) == path
    assert server.requests[1].headers["if-none-match"] == '"1"'
    assert download_url(url, tmp_path, network=OFFLINE) == path
    assert len(server.requests) == 2

    server.add("/a%20b/model.gguf?x=%2F", b"new", etag='"2"')
    assert download_url(url, tmp_path, network=QUICK).read_bytes() == b"new"
    server.add("/a%20b/model.gguf?x=other", b"other", etag='"3"')
    assert download_url(f"{server.url}/a%20b/model.gguf?x=other", tmp_path, network=QUICK).read_bytes() == b"other"
    assert path.read_bytes() == b"new"


def test_without_etag_or_length(server: LoopbackServer, tmp_path: Path) -> None:
    server.add("/model.gguf", BODY, is_chunked=True)
    progress = Recorder()
    path = download_url(f"{server.url}/model.gguf", tmp_path, progress=progress, network=QUICK)
    assert path.read_bytes() == BODY
    assert progress.calls[-1] == ("model.gguf", len(BODY), None)
    assert download_url(f"{server.url}/model.gguf", tmp_path, network=QUICK) == path
    assert len(server.requests) == 1, "nothing tells versions apart, so there is nothing to ask"


def test_a_known_hash_needs_no_second_request(server: LoopbackServer, tmp_path: Path) -> None:
    server.add("/model.gguf", BODY)
    for _ in range(2):
        path = download_url(f"{server.url}/model.gguf", tmp_path, sha256=SHA256.upper(), network=QUICK)
        assert path.read_bytes() == BODY
    assert len(server.requests) == 1
    path.write_bytes(b"cut short")
    assert download_url(f"{server.url}/model.gguf", tmp_path, sha256=SHA256, network=QUICK).read_bytes() == BODY
    next(tmp_path.rglob("*.json")).write_text('{"etag": 3, "sha256": 4}')
    assert download_url(f"{server.url}/model.gguf", tmp_path, sha256=SHA256, network=QUICK).read_bytes() == BODY
    assert len(server.requests) == 3


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.integers(0, len(BODY) - 1), max_size=3),
    st.sampled_from((None, '"strong"', 'W/"weak"')),
    st.booleans(),
    st.booleans(),
    st.sampled_from((None, SHA256)),
)
def test_broken_connections_do_no_harm(
    tmp_path_factory: pytest.TempPathFactory,
    breaks: list[int],
    etag: str | None,
    has_ranges: bool,
    is_chunked: bool,
    sha256: str | None,
) -> None:
    cache = tmp_path_factory.mktemp("cache")
    with LoopbackServer() as server:
        server.add("/m.gguf", BODY, etag=etag, has_ranges=has_ranges, is_chunked=is_chunked, breaks_after=deque(breaks))
        path = download_url(f"{server.url}/m.gguf", cache, sha256=sha256, network=QUICK)
        assert path.read_bytes() == BODY
        assert len(server.requests) <= len(breaks) + 1
        if etag != '"strong"' and sha256 is None:
            assert set(server.ranges()) == {None}, "nothing could tell whether the rest is of the same file"


def test_resumption_sends_only_the_rest(server: LoopbackServer, tmp_path: Path) -> None:
    server.add("/m.gguf", BODY, etag='"1"', breaks_after=deque([100_000]))
    progress = Recorder()
    once = Network(n_attempts=1, timeout_seconds=5)
    with pytest.raises(DownloadError, match=r"(?s)m\.gguf: the download broke off 1 times.*run the same command again"):
        download_url(f"{server.url}/m.gguf", tmp_path, network=once)
    assert parts(tmp_path) == ["m.gguf.part", "m.gguf.part.json"]
    n_kept = next(tmp_path.rglob("*.part")).stat().st_size
    assert 0 < n_kept <= 100_000
    path = download_url(f"{server.url}/m.gguf", tmp_path, progress=progress, network=once)
    assert path.read_bytes() == BODY
    assert server.ranges() == [None, f"bytes={n_kept}-"]
    assert server.requests[1].headers["if-range"] == '"1"'
    assert progress.calls[0] == ("m.gguf", n_kept, len(BODY))


def test_a_file_replaced_between_attempts_starts_anew(server: LoopbackServer, tmp_path: Path) -> None:
    resource = server.add("/m.gguf", BODY, etag='"1"', breaks_after=deque([100_000]))
    with pytest.raises(DownloadError, match="broke off"):
        download_url(f"{server.url}/m.gguf", tmp_path, network=Network(n_attempts=1))
    resource.body, resource.etag = BODY[::-1], '"2"'
    assert download_url(f"{server.url}/m.gguf", tmp_path, network=QUICK).read_bytes() == BODY[::-1]


def test_a_piece_of_another_hash_is_not_gone_on_with(server: LoopbackServer, tmp_path: Path) -> None:
    resource = server.add("/m.gguf", BODY, breaks_after=deque([100_000]))
    with pytest.raises(DownloadError, match="broke off"):
        download_url(f"{server.url}/m.gguf", tmp_path, sha256=SHA256, network=Network(n_attempts=1))
    resource.body = BODY[::-1]
    sha256 = hashlib.sha256(resource.body).hexdigest()
    path = download_url(f"{server.url}/m.gguf", tmp_path, sha256=sha256, network=QUICK)
    assert path.read_bytes() == resource.body
    assert server.ranges() == [None, None]


def test_a_server_that_ignores_if_range_is_found_out(server: LoopbackServer, tmp_path: Path) -> None:
    resource = server.add("/m.gguf", BODY, etag='"1"', breaks_after=deque([100_000]), ignores_if_range=True)
    with pytest.raises(DownloadError, match="broke off"):
        download_url(f"{server.url}/m.gguf", tmp_path, network=Network(n_attempts=1))
    resource.body, resource.etag = BODY[::-1], '"2"'
    assert download_url(f"{server.url}/m.gguf", tmp_path, network=QUICK).read_bytes() == BODY[::-1]


@pytest.mark.parametrize("piece", ["bytes 0-9/10", "bytes 5-255999/256001", "nonsense"])
def test_another_piece_than_asked_for_starts_anew(server: LoopbackServer, tmp_path: Path, piece: str) -> None:
    resource = server.add("/m.gguf", BODY, etag='"1"', breaks_after=deque([100_000]))
    with pytest.raises(DownloadError, match="broke off"):
        download_url(f"{server.url}/m.gguf", tmp_path, network=Network(n_attempts=1))
    resource.headers["Content-Range"] = piece
    assert download_url(f"{server.url}/m.gguf", tmp_path, network=QUICK).read_bytes() == BODY


def test_a_download_that_only_lacked_its_renaming(server: LoopbackServer, tmp_path: Path) -> None:
    resource = server.add("/m.gguf", BODY, etag='"1"')
    path = download_url(f"{server.url}/m.gguf", tmp_path, network=QUICK)
    path.rename(f"{path}.part")
    path.with_name("m.gguf.json").rename(f"{path}.part.json")
    assert download_url(f"{server.url}/m.gguf", tmp_path, network=QUICK).read_bytes() == BODY
    assert server.ranges()[1] == f"bytes={len(BODY)}-"
    path.rename(f"{path}.part")
    path.with_name("m.gguf.json").rename(f"{path}.part.json")
    resource.body, resource.ignores_if_range = BODY[:-1], True
    next(tmp_path.rglob("*.part")).write_bytes(BODY + b"too long")
    assert download_url(f"{server.url}/m.gguf", tmp_path, network=QUICK).read_bytes() == BODY[:-1]


def test_hugging_face_s_headers_are_a_promise(
    server: LoopbackServer, other_server: LoopbackServer, tmp_path: Path
) -> None:
    target = other_server.add("/blob", BODY)
    promise = {"X-Linked-Etag": f'"{SHA256}"', "X-Linked-Size": str(len(BODY))}
    server.add("/m.gguf", redirect=f"{other_server.url}/blob", headers=promise)
    assert download_url(f"{server.url}/m.gguf", tmp_path, network=QUICK).read_bytes() == BODY
    target.body = BODY[:-1]
    progress = Recorder()
    with pytest.raises(DownloadError, match="should have 256,000 bytes, the server sends 255,999"):
        download_url(f"{server.url}/m.gguf", tmp_path / "b", progress=progress, network=QUICK)
    assert progress.calls == [], "the length told it"
    target.body, target.is_chunked = BODY * 9, True
    with pytest.raises(DownloadError, match="should have 256,000 bytes, the server sends ") as caught:
        download_url(f"{server.url}/m.gguf", tmp_path / "b", network=QUICK)
    assert f"{len(BODY) * 9:,}" not in str(caught.value), "what comes after the promised end is not awaited"
    target.body = BODY[:-1]
    with pytest.raises(DownloadError, match="should have 256,000 bytes, the server sends 255,999"):
        download_url(f"{server.url}/m.gguf", tmp_path / "b", network=QUICK)
    target.body, target.is_chunked = BODY[::-1], False
    with pytest.raises(DownloadError, match="damaged"):
        download_url(f"{server.url}/m.gguf", tmp_path / "b", network=QUICK)
    assert parts(tmp_path) == []


def test_two_at_once_download_once(server: LoopbackServer, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    gate = threading.Event()
    server.add("/m.gguf", BODY, gate=gate)
    paths: list[Path] = []

    def download() -> None:
        paths.append(download_url(f"{server.url}/m.gguf", tmp_path, sha256=SHA256, network=QUICK))

    threads = [threading.Thread(target=download) for _ in range(2)]
    with caplog.at_level(logging.WARNING):
        for thread in threads:
            thread.start()
        for _ in range(500):
            if "another process is downloading m.gguf: waiting" in caplog.text:
                break
            threads[0].join(0.01)
        gate.set()
        for thread in threads:
            thread.join(10)
    assert "another process is downloading m.gguf: waiting" in caplog.text
    assert [path.read_bytes() == BODY for path in paths] == [True, True]
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/model.gguf", "model.gguf"),
        ("/%e4%bd%a0%20x.gguf", "你 x.gguf"),
        ("/dir/", "model.gguf"),
        ("/..%2F..%2Fevil.gguf", "model.gguf"),
        ("/con.gguf", "model.gguf"),
        ("/" + "x" * 300 + ".gguf", "model.gguf"),
        ("/weights.gguf.part", "weights.gguf.part.gguf"),
        ("/%ff%00.gguf", "model.gguf"),
    ],
)
def test_names_from_urls(server: LoopbackServer, tmp_path: Path, path: str, name: str) -> None:
    server.add(path, BODY)
    downloaded = download_url(f"{server.url}{path}", tmp_path, network=QUICK)
    assert downloaded.name == name
    assert downloaded.resolve().is_relative_to(tmp_path.resolve())
    assert downloaded.read_bytes() == BODY


def test_all_shards_of_a_url(server: LoopbackServer, tmp_path: Path) -> None:
    for index in (1, 2, 3):
        server.add(f"/d/big-0000{index}-of-00003.gguf?k=1", bytes([index]) * 9)
    path = download_url(f"{server.url}/d/big-00002-of-00003.gguf?k=1", tmp_path, network=QUICK)
    assert path.name == "big-00001-of-00003.gguf"
    assert [p.read_bytes() for p in sorted(path.parent.glob("*.gguf"))] == [bytes([index]) * 9 for index in (1, 2, 3)]
    with pytest.raises(UsageError, match="one SHA-256 cannot be that of 3 shards"):
        download_url(f"{server.url}/d/big-00002-of-00003.gguf", tmp_path, sha256=SHA256)
