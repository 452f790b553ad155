"""A web server on 127.0.0.1 for the tests of downloads: honest, or broken in the ways that servers are."""

import re
import socket
import sys
from collections import deque
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from types import TracebackType
from typing import Any

import pytest


def allow_loopback_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take proxies and endpoints out of the environment; fail at the look-up of any other host."""
    names = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "HF_ENDPOINT", "MODEL_ENDPOINT", "MODELSCOPE_ENDPOINT")
    for name in (*names, *map(str.lower, names)):
        monkeypatch.delenv(name, raising=False)
    look_up = socket.getaddrinfo

    def look_up_loopback(host: str, *arguments: Any, **more: Any) -> Any:
        assert host in ("127.0.0.1", b"127.0.0.1"), f"a test asked for {host!r}"
        return look_up(host, *arguments, **more)

    monkeypatch.setattr(socket, "getaddrinfo", look_up_loopback)


@dataclass
class Resource:
    """What a path answers; the queues are used up by one request after another."""

    body: bytes = b""
    etag: str | None = None
    has_ranges: bool = True
    ignores_if_range: bool = False
    is_chunked: bool = False
    redirect: str | None = None
    headers: dict[str, str] = field(default_factory=dict)
    statuses: deque[int] = field(default_factory=deque)
    breaks_after: deque[int] = field(default_factory=deque)
    gate: Event | None = None


@dataclass(frozen=True)
class Request:
    """What was asked."""

    path: str
    headers: dict[str, str]


class _Server(ThreadingHTTPServer):
    daemon_threads = False

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Keep quiet when a client hangs up, as it should when it has seen enough."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class LoopbackServer:
    """Serves `resources` by path (query included) in a thread and keeps all requests; a context manager."""

    def __init__(self) -> None:
        self.resources: dict[str, Resource] = {}
        self.requests: list[Request] = []
        self._server = _Server(("127.0.0.1", 0), self._make_handler())
        self.host = f"127.0.0.1:{self._server.server_address[1]}"
        self.url = f"http://{self.host}"
        self._thread = Thread(target=self._server.serve_forever, args=(0.01,))

    def __enter__(self) -> "LoopbackServer":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def add(self, path: str, body: bytes = b"", **properties: object) -> Resource:
        self.resources[path] = Resource(body, **properties)  # type: ignore[arg-type]  # checked by the dataclass's users
        return self.resources[path]

    def paths(self) -> list[str]:
        return [request.path for request in self.requests]

    def ranges(self) -> list[str | None]:
        return [request.headers.get("range") for request in self.requests]

    def _make_handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def log_message(self, *_: object) -> None:
                pass

            def do_GET(self) -> None:
                headers = {name.lower(): value for name, value in self.headers.items()}
                server.requests.append(Request(self.path, headers))
                _answer(self, server.resources.get(self.path), headers)

        return Handler


def _answer(handler: BaseHTTPRequestHandler, resource: Resource | None, headers: dict[str, str]) -> None:
    if resource is None or resource.statuses:
        _send(handler, resource.statuses.popleft() if resource else 404, b"<html>no</html>", {})
        return
    if resource.gate is not None:
        resource.gate.wait(10)
    more = resource.headers | ({"ETag": resource.etag} if resource.etag else {})
    if resource.redirect is not None:
        _send(handler, 302, b"", more | {"Location": resource.redirect})
        return
    if resource.etag is not None and headers.get("if-none-match") == resource.etag:
        _send(handler, 304, b"", more)
        return
    start, size = _start(resource, headers), len(resource.body)
    if start is None:
        _send(handler, 200, resource.body, more, resource)
    elif start < size:
        more |= {"Content-Range": f"bytes {start}-{size - 1}/{size}"} | resource.headers
        _send(handler, 206, resource.body[start:], more, resource)
    else:
        _send(handler, 416, b"", more | {"Content-Range": f"bytes */{size}"})


def _start(resource: Resource, headers: dict[str, str]) -> int | None:
    wanted = re.fullmatch(r"bytes=(\d+)-", headers.get("range", ""))
    fits = resource.ignores_if_range or headers.get("if-range", resource.etag) == resource.etag
    return int(wanted[1]) if wanted and fits and resource.has_ranges else None


def _send(
    handler: BaseHTTPRequestHandler, status: int, body: bytes, headers: dict[str, str], resource: Resource | None = None
) -> None:
    is_chunked = resource is not None and resource.is_chunked
    length = {"Transfer-Encoding": "chunked"} if is_chunked else {"Content-Length": str(len(body))}
    handler.send_response(status)
    for name, value in ({} if status == 304 else length | headers).items():
        handler.send_header(name, value)
    handler.end_headers()
    if resource is not None and resource.breaks_after:
        handler.wfile.write(body[: resource.breaks_after.popleft()])
        handler.wfile.flush()
        handler.connection.shutdown(socket.SHUT_RDWR)
        handler.close_connection = True
        return
    handler.wfile.write(b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body) if is_chunked else body)
