"""API keys."""

import secrets
from collections.abc import Iterable

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from pyggml.server.errors import ApiError

_OPEN_PATHS = frozenset({"/", "/docs", "/openapi.json", "/health", "/v1/health"})
_OPEN_PREFIXES = ("/page/",)


class KeyCheck:
    """Lets requests pass that bring one of the keys, as `Authorization: Bearer KEY` or `X-Api-Key: KEY`.

    Health, the pages, what they are made of, and OPTIONS need none; without keys nothing does.
    """

    def __init__(self, app: ASGIApp, keys: Iterable[str]) -> None:
        self._app = app
        self._keys = [key.encode() for key in keys]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer 401."""
        if scope["type"] != "http" or not self._keys or _is_open(scope) or self._has_key(Headers(scope=scope)):
            await self._app(scope, receive, send)
        else:
            await ApiError(401, "Invalid API Key").response()(scope, receive, send)

    def _has_key(self, headers: Headers) -> bool:
        given = (headers.get("x-api-key") or headers.get("authorization", "").removeprefix("Bearer ")).encode()
        return any(secrets.compare_digest(given, key) for key in self._keys)


def _is_open(scope: Scope) -> bool:
    path: str = scope["path"]
    return scope["method"] == "OPTIONS" or path in _OPEN_PATHS or path.startswith(_OPEN_PREFIXES)
