"""Downloads that cannot succeed: each ends in a clear error, and leaves nothing that could be taken for a model."""

import hashlib
import logging
import socket
import sys
import threading
from collections import deque
from collections.abc import Iterator
from pathlib import Path

import pytest

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


def test_a_busy_server_is_asked_again(server: LoopbackServer, tmp_path: Path) -> None:
    server.add("/m.gguf", BODY, statuses=deque([503, 429, 500]))
    assert download_url(f"{server.url}/m.gguf", tmp_path, network=QUICK).read_bytes() == BODY
    server.add("/n.gguf", BODY, statuses=deque([503] * 9))
    with pytest.raises(DownloadError, match="broke off 4 times, the last time because it answered with status 503"):
        download_url(f"{server.url}/n.gguf", tmp_path, network=QUICK)


def test_waits_grow(server: LoopbackServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr("time.sleep", waits.append)
    server.add("/m.gguf", BODY, statuses=deque([503] * 9))
    with pytest.raises(DownloadError, match="broke off 5 times"):
        download_url(f"{server.url}/m.gguf", tmp_path, network=Network(n_attempts=5, backoff_seconds=0.5))
    assert waits == [0.5, 1, 2, 4]


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (404, r"m\.gguf: not found \(status 404\); check the name"),
        (401, r"access denied \(status 401\).*HF_TOKEN or --hf-token"),
        (403, r"access denied \(status 403\).*gated"),
        (418, r"refuses with status 418 I'm a Teapot"),
        (204, r"unexpected answer, status 204"),
        (304, r"unexpected answer, status 304"),
    ],
)
def test_final_statuses(server: LoopbackServer, tmp_path: Path, status: int, message: str) -> None:
    server.add("/m.gguf", BODY, statuses=deque([status]))
    with pytest.raises(DownloadError, match=message):
        download_url(f"{server.url}/m.gguf", tmp_path, network=QUICK)
    assert len(server.requests) == 1


def test_secrets_of_a_url_are_not_shown(server: LoopbackServer, tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match=rf"^http://{server.host}/gone.gguf: not found") as caught:
        download_url(f"http://me:secret@{server.host}/gone.gguf?key=secret", tmp_path, network=QUICK)
    assert "secret" not in str(caught.value)


def test_damage_is_found_and_removed(server: LoopbackServer, tmp_path: Path) -> None:
    server.add("/m.gguf", BODY[::-1], etag='"1"')
    with pytest.raises(DownloadError, match=rf"damaged and was removed: its SHA-256 should be {SHA256} and is "):
        download_url(f"{server.url}/m.gguf", tmp_path, sha256=SHA256, network=QUICK)
    assert not [path for path in tmp_path.rglob("*.gguf*") if path.suffix != ".lock"]


def test_a_truncated_body(server: LoopbackServer, tmp_path: Path) -> None:
    server.add("/m.gguf", BODY, breaks_after=deque([10] * 9))
    with pytest.raises(DownloadError, match=r"(?s)broke off 4 times, the last time because peer closed connection"):
        download_url(f"{server.url}/m.gguf", tmp_path, network=QUICK)
    assert not list(tmp_path.rglob("*.gguf"))


def test_compression_and_web_pages_are_refused(server: LoopbackServer, tmp_path: Path) -> None:
    server.add("/m.gguf", BODY, headers={"Content-Encoding": "gzip"})
    with pytest.raises(DownloadError, match="sends the file compressed"):
        download_url(f"{server.url}/m.gguf", tmp_path, network=QUICK)
    server.add("/u/r/blob/main/m.gguf", BODY, headers={"Content-Type": "text/html; charset=utf-8"})
    with pytest.raises(DownloadError, match=r"this is a web page, not a file; .* /resolve/"):
        download_url(f"{server.url}/u/r/blob/main/m.gguf", tmp_path, network=QUICK)


def test_redirects(server: LoopbackServer, tmp_path: Path) -> None:
    server.add("/a.gguf", redirect="/b.gguf")
    server.add("/b.gguf", redirect="/a.gguf")
    with pytest.raises(DownloadError, match=r"a\.gguf: more than 10 redirects, probably a loop"):
        download_url(f"{server.url}/a.gguf", tmp_path, network=QUICK)
    server.add("/c.gguf", redirect="file:///etc/hostname")
    with pytest.raises(DownloadError, match="a redirect leads to no web address"):
        download_url(f"{server.url}/c.gguf", tmp_path, network=QUICK)


def test_the_token_goes_to_the_endpoint_alone(
    server: LoopbackServer, other_server: LoopbackServer, tmp_path: Path
) -> None:
    server.add("/first.gguf", redirect="/second.gguf")
    server.add("/second.gguf", redirect=f"{other_server.url}/third.gguf")
    other_server.add("/third.gguf", redirect=f"{server.url}/fourth.gguf")
    server.add("/fourth.gguf", BODY)
    download_url(f"{server.url}/first.gguf", tmp_path, token="hf_x", endpoint=server.url, network=QUICK)
    assert [request.headers.get("authorization") for request in server.requests] == ["Bearer hf_x", "Bearer hf_x", None]
    assert [request.headers.get("authorization") for request in other_server.requests] == [None]
    download_url(f"{server.url}/fourth.gguf", tmp_path, token="hf_x", endpoint=other_server.url, network=QUICK)
    assert server.requests[-1].headers.get("authorization") is None
    with pytest.raises(UsageError, match=r"token .*blanks or non-ASCII"):
        download_url(f"{server.url}/x.gguf", tmp_path, token="hf_x\nEvil: 1", endpoint=server.url, network=QUICK)


def closed_port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"127.0.0.1:{listener.getsockname()[1]}"


def test_no_network(server: LoopbackServer, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    host = closed_port()
    with pytest.raises(DownloadError, match=rf"no connection to {host}: .*--offline .* -m FILE"):
        download_url(f"http://{host}/m.gguf", tmp_path, network=Network())
    server.add("/m.gguf", redirect=f"http://{host}/m.gguf")
    with pytest.raises(DownloadError, match=f"no connection to {host}"):
        download_url(f"{server.url}/m.gguf", tmp_path, network=Network())
    with pytest.raises(DownloadError, match=r"m\.gguf is not in the cache \(.*\): run once without --offline"):
        download_url(f"{server.url}/m.gguf", tmp_path, network=OFFLINE)
    server.add("/m.gguf", BODY, etag='"1"')
    path = download_url(f"{server.url}/m.gguf", tmp_path, network=QUICK)
    server.add("/m.gguf", redirect=f"http://{host}/m.gguf")
    with caplog.at_level(logging.WARNING):
        assert download_url(f"{server.url}/m.gguf", tmp_path, network=QUICK) == path
    assert f"no connection to {host}" in caplog.text
    assert "using the copy in the cache" in caplog.text
    with pytest.raises(DownloadError, match=f"no connection to {host}"):
        download_url(f"{server.url}/m.gguf", tmp_path, sha256="0" * 64, network=QUICK)
    with pytest.raises(DownloadError, match=r"m\.gguf with SHA-256 0{64} is not in the cache"):
        download_url(f"{server.url}/m.gguf", tmp_path, sha256="0" * 64, network=OFFLINE)


def test_a_server_that_goes_away_is_waited_for(tmp_path: Path) -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    host = f"127.0.0.1:{listener.getsockname()[1]}"

    def serve_once() -> None:
        connection, _ = listener.accept()
        listener.close()
        with connection:
            connection.recv(4096)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nfour")

    thread = threading.Thread(target=serve_once)
    thread.start()
    with pytest.raises(DownloadError, match=r"broke off 4 times, the last time because .*refused"):
        download_url(f"http://{host}/m.gguf", tmp_path, network=QUICK)
    thread.join()


def test_a_silent_server_is_given_up(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/m.gguf"
        with pytest.raises(DownloadError, match="broke off 2 times, the last time because timed out"):
            download_url(url, tmp_path, network=Network(n_attempts=2, backoff_seconds=0, timeout_seconds=0.1))


def test_a_full_disk(server: LoopbackServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server.add("/m.gguf", BODY, etag='"1"')
    with monkeypatch.context() as patch:
        patch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 255_999}))
        with pytest.raises(
            DownloadError, match=r"has 255,999 bytes free, m\.gguf needs 256,000: make room or set PYGGML"
        ):
            download_url(f"{server.url}/m.gguf", tmp_path, network=QUICK)


@pytest.mark.skipif(sys.platform != "linux", reason="/dev/full, whose writes fail, is Linux's")
def test_a_disk_that_fills_up(server: LoopbackServer, tmp_path: Path) -> None:
    server.add("/m.gguf", BODY)
    path = download_url(f"{server.url}/m.gguf", tmp_path, network=QUICK)
    path.unlink()
    path.with_name("m.gguf.part").symlink_to("/dev/full")
    with pytest.raises(DownloadError, match=r"disk of .* is full; what has arrived is kept.*PYGGML_CACHE"):
        download_url(f"{server.url}/m.gguf", tmp_path, network=QUICK)


def test_a_cache_that_cannot_be_written(server: LoopbackServer, tmp_path: Path) -> None:
    (tmp_path / "models").write_text("a file where the folder should be")
    with pytest.raises(DownloadError, match=r"cannot write .*m\.gguf: .*; set PYGGML_CACHE to a folder"):
        download_url(f"{server.url}/m.gguf", tmp_path, network=QUICK)


@pytest.mark.parametrize(
    "url", ["model.gguf", "file:///model.gguf", "ftp://host/model.gguf", "https:///x", "http://x:y"]
)
def test_what_is_no_url(tmp_path: Path, url: str) -> None:
    with pytest.raises(UsageError, match="is no URL"):
        download_url(url, tmp_path)
