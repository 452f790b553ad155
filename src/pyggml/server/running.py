"""Serving until a signal comes."""

import asyncio
import logging
import socket
from dataclasses import dataclass

import uvicorn

from pyggml.server.application import create_app
from pyggml.server.service import Service

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Listening:
    """Where to listen, and how long to finish what runs when the server is to end."""

    host: str = "127.0.0.1"
    """A name or address; a path that ends in .sock is a unix socket."""
    port: int = 8080
    ssl_key_file: str | None = None
    ssl_cert_file: str | None = None
    grace_seconds: float = 30.0


def serve(service: Service, listening: Listening) -> None:
    """Answer requests until SIGINT or SIGTERM; what runs then may finish within the grace time."""
    is_socket = listening.host.endswith(".sock")
    config = uvicorn.Config(
        create_app(service),
        host=listening.host,
        port=listening.port,
        uds=listening.host if is_socket else None,
        ssl_keyfile=listening.ssl_key_file,
        ssl_certfile=listening.ssl_cert_file,
        log_config=None,
        access_log=False,
        server_header=False,
        headers=[("Server", "pyggml")],
    )
    asyncio.run(_Server(config, service, listening.grace_seconds).serve())


class _Server(uvicorn.Server):
    """Stops the scheduler as soon as the server is to end, so that open requests end in time."""

    def __init__(self, config: uvicorn.Config, service: Service, grace_seconds: float) -> None:
        super().__init__(config)
        self._service = service
        self._grace_seconds = grace_seconds

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        _logger.warning("shutting down: running requests may take %g s more", self._grace_seconds)
        stopping = asyncio.to_thread(self._service.scheduler.stop, self._grace_seconds)
        all_finished, _ = await asyncio.gather(stopping, super().shutdown(sockets))
        _logger.warning("all requests were finished" if all_finished else "requests were cut off")
