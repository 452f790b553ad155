"""What clients are told while the model is being loaded: 503, in llama-server's words."""

import asyncio
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import Thread

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from pyggml.server.anthropic_errors import AnthropicErrors
from pyggml.server.cors import Cors, CorsOptions
from pyggml.server.errors import ApiError
from pyggml.server.listening import Listening


async def _loading(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer 503. The connection ends, for the server that comes after knows nothing of it; a browser asks again."""
    response = ApiError(503, "Loading model").response()
    response.headers.update({"Connection": "close", "Refresh": "1"})
    await response(scope, receive, send)


@contextmanager
def told_to_wait(listening: Listening, sockets: Sequence[socket.socket], cors: CorsOptions) -> Iterator[None]:
    """Answer so from another thread until the block is left; the sockets go on listening."""
    app: ASGIApp = Cors(AnthropicErrors(_loading), cors)
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            ssl_keyfile=listening.ssl_key_file,
            ssl_certfile=listening.ssl_cert_file,
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            headers=[("Server", "pyggml")],
            timeout_graceful_shutdown=1,
        )
    )
    # The server closes what it was given.
    copies = [each.dup() for each in sockets]
    thread = Thread(target=lambda: asyncio.run(server.serve(copies)), name="pyggml-loading", daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.should_exit = True
        thread.join()
