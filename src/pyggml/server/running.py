"""Serving until a signal comes."""

import asyncio
import logging
import signal
import socket
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from threading import Thread, current_thread, main_thread
from types import FrameType

import uvicorn

from pyggml.server.application import create_app
from pyggml.server.listening import Listening
from pyggml.server.service import Service

_logger = logging.getLogger(__name__)
#: For answers to reach their readers, once all are finished or cut off.
_LAST_SECONDS = 5


def serve(service: Service, listening: Listening, sockets: Sequence[socket.socket]) -> None:
    """Answer requests until SIGINT or SIGTERM; what runs then may finish within the grace time."""
    config = uvicorn.Config(
        create_app(service),
        ssl_keyfile=listening.ssl_key_file,
        ssl_certfile=listening.ssl_cert_file,
        log_config=None,
        access_log=False,
        server_header=False,
        headers=[("Server", "pyggml")],
        timeout_graceful_shutdown=int(listening.grace_seconds) + _LAST_SECONDS,
    )
    with closing(_event_loop()) as loop:
        loop.run_until_complete(_serve(_Server(config, service, listening.grace_seconds), listening, sockets))


def _event_loop() -> asyncio.AbstractEventLoop:
    """The fastest there is: uvloop runs on Unix only."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


async def _serve(server: "_Server", listening: Listening, sockets: Sequence[socket.socket]) -> None:
    with ThreadPoolExecutor(listening.n_threads, thread_name_prefix="pyggml-http") as threads:
        asyncio.get_running_loop().set_default_executor(threads)
        await server.serve(list(sockets))


class _Server(uvicorn.Server):
    """Stops the scheduler as soon as the server is to end, so that open requests end in time."""

    def __init__(self, config: uvicorn.Config, service: Service, grace_seconds: float) -> None:
        super().__init__(config)
        self._service = service
        self._grace_seconds = grace_seconds

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """End at SIGINT and SIGTERM, as one that was asked to: without the signal's own exit status."""
        if current_thread() is not main_thread():
            yield
            return
        before = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to end; the second time, at once."""
        if self.should_exit:
            self.force_exit = True
            Thread(target=self._service.scheduler.stop, args=(0,), daemon=True).start()
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        running = sum(state.request is not None for state in self._service.scheduler.slots())
        _logger.warning("shutting down: %d requests are running and may take %g s more", running, self._grace_seconds)
        stopping = asyncio.to_thread(self._service.scheduler.stop, self._grace_seconds)
        all_finished, _ = await asyncio.gather(stopping, super().shutdown(sockets))
        _logger.warning("all requests were finished" if all_finished else "requests that took longer were cut off")
