"""A server below a path, beside others on the same host."""

from starlette.types import ASGIApp, Receive, Scope, Send

from pyggml.server.errors import ApiError


class Prefix:
    """Takes the prefix off the paths of requests; answers 404 to all others."""

    def __init__(self, app: ASGIApp, prefix: str) -> None:
        self._app = app
        self._prefix = prefix

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] == "http" and self._prefix:
            if not scope["path"].startswith(f"{self._prefix}/"):
                await ApiError(404, "File Not Found").response()(scope, receive, send)
                return
            scope = {**scope, "path": scope["path"].removeprefix(self._prefix)}
        await self._app(scope, receive, send)
