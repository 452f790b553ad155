"""The application: all endpoints over one service."""

from fastapi import FastAPI, Request
from fastapi.responses import Response
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Receive, Scope, Send

from pyggml import __version__
from pyggml.server import (
    chat,
    completion,
    embedding,
    health,
    infill,
    messages,
    metrics,
    models,
    openai_completion,
    responses,
    slots,
    tokens,
)
from pyggml.server.anthropic_errors import AnthropicErrors
from pyggml.server.auth import KeyCheck
from pyggml.server.chat_page import add_pages
from pyggml.server.cors import Cors
from pyggml.server.errors import add_error_handlers
from pyggml.server.generation import ClientLeftError
from pyggml.server.prefix import Prefix
from pyggml.server.request_log import RequestLog
from pyggml.server.service import Service
from pyggml.server.transfer import TransferLimits

_ROUTERS = (
    health.router,
    models.router,
    slots.router,
    metrics.router,
    completion.router,
    openai_completion.router,
    infill.router,
    tokens.router,
    embedding.router,
    chat.router,
    responses.router,
    messages.router,
)
_CLIENT_CLOSED_REQUEST = 499


class AnyTypeIsJson:
    """Reads every body as JSON, whatever type the client names: as llama-server does, and as `curl -d` needs."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Name the body JSON, and pass the request on."""
        if scope["type"] == "http":
            MutableHeaders(scope=scope)["content-type"] = "application/json"
        await self._app(scope, receive, send)


async def _client_left(_: Request, error: Exception) -> Response:
    """Nobody reads this; the status is for the log."""
    return Response(status_code=_CLIENT_CLOSED_REQUEST)


def create_app(service: Service) -> FastAPI:
    """An ASGI application: the chat page is at /, docs are at /docs. The service's scheduler must have been started."""
    options = service.options
    servers = [{"url": options.prefix}] if options.prefix else None
    app = FastAPI(title="pyggml", version=__version__, docs_url=None, redoc_url=None, servers=servers)
    app.state.service = service
    app.state.metrics = metrics.metrics_registry(service)
    # The last one that is added is the first to see a request.
    app.add_middleware(AnyTypeIsJson)
    app.add_middleware(TransferLimits, max_body=options.max_body, seconds=options.client_seconds)
    app.add_middleware(KeyCheck, keys=options.api_keys)
    app.add_middleware(Cors, options=options.cors)
    app.add_middleware(AnthropicErrors)
    app.add_middleware(RequestLog)
    app.add_middleware(Prefix, prefix=options.prefix)
    app.add_exception_handler(ClientLeftError, _client_left)
    add_error_handlers(app)
    for router in _ROUTERS:
        app.include_router(router)
    if options.page:
        add_pages(app)
    return app
