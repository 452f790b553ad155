"""The addresses that a server listens at."""

import errno
import os
import socket
import stat
from dataclasses import dataclass
from pathlib import Path

from pyggml.errors import UsageError

_BACKLOG = 2048


@dataclass(frozen=True)
class Listening:
    """Where to listen, and how long to finish what runs when the server is to end."""

    hosts: tuple[str, ...] = ("127.0.0.1",)
    """Names and addresses; a path that ends in .sock is a unix socket."""
    port: int = 8080
    """0: any that is free."""
    reuse_port: bool = False
    """Let other servers listen at the same port."""
    ssl_key_file: str | None = None
    ssl_cert_file: str | None = None
    grace_seconds: float = 30.0
    n_threads: int = 4
    """Threads that read long prompts."""

    def bind(self) -> "Listeners":
        """Take the addresses. Raises UsageError for one that cannot be taken."""
        listeners = Listeners()
        for host in self.hosts:
            try:
                listeners.add(_unix_socket(Path(host)) if host.endswith(".sock") else self._socket(host))
            except OSError as error:
                listeners.close()
                place = host if host.endswith(".sock") else f"{host}:{self.port}"
                reason = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)
                raise UsageError(
                    f"--host: nothing can listen at {place}: {reason}; choose another address or --port"
                ) from error
        return listeners

    def _socket(self, host: str) -> socket.socket:
        (family, kind, protocol, _, address), *_ = socket.getaddrinfo(host, self.port, type=socket.SOCK_STREAM)
        # asyncio sends small pieces at once (TCP_NODELAY) on sockets that name their protocol; others wait 40 ms.
        listener = socket.socket(family, kind, protocol)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if self.reuse_port:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            if family == socket.AF_INET6:
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, len(self.hosts) > 1)
            listener.bind(address)
            listener.listen(_BACKLOG)
        except BaseException:
            listener.close()
            raise
        return listener


def _unix_socket(path: Path) -> socket.socket:
    """A unix socket; a socket that a server left behind makes way, one that is in use does not."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if path.exists() and stat.S_ISSOCK(path.stat().st_mode):
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
                if probe.connect_ex(str(path)) == 0:
                    raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
            path.unlink()
        listener.bind(str(path))
        listener.listen(_BACKLOG)
    except BaseException:
        listener.close()
        raise
    return listener


class Listeners:
    """Addresses that were taken."""

    def __init__(self) -> None:
        self.sockets: list[socket.socket] = []
        self._paths: list[Path] = []

    def add(self, listener: socket.socket) -> None:
        """Take over a socket."""
        self.sockets.append(listener)
        name = listener.getsockname()
        if isinstance(name, str):
            self._paths.append(Path(name))

    def addresses(self, *, encrypted: bool) -> list[str]:
        """What clients may be told: URLs, and the paths of unix sockets."""
        return [_address(each, "https" if encrypted else "http") for each in self.sockets]

    def close(self) -> None:
        """Give the addresses back."""
        for each in self.sockets:
            each.close()
        for path in self._paths:
            path.unlink(missing_ok=True)


def _address(listener: socket.socket, scheme: str) -> str:
    name = listener.getsockname()
    if isinstance(name, str):
        return name
    host = f"[{name[0]}]" if listener.family == socket.AF_INET6 else name[0]
    return f"{scheme}://{host}:{name[1]}"
