"""Cross-origin requests: which pages of other origins may use the API from a browser."""

from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_LOCAL = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True)
class CorsOptions:
    """The headers, as llama-server's options set them."""

    origins: str = "*"
    """Allowed origins; `localhost` stands for those of this machine, at any port."""
    methods: str = "GET, POST, DELETE, OPTIONS"
    headers: str = "*"
    credentials: bool = True

    def origin_header(self, origin: str | None) -> str | None:
        """What a request from this origin is told; None for nothing."""
        if self.origins == "localhost":
            return origin if origin and _is_local(origin) else None
        # With credentials no browser takes "*" for an answer.
        if self.origins == "*":
            return origin if self.credentials else "*"
        return self.origins if "," not in self.origins else _listed(origin, self.origins)


class Cors:
    """Adds the headers, and answers a browser's question before a request (OPTIONS)."""

    def __init__(self, app: ASGIApp, options: CorsOptions) -> None:
        self._app = app
        self._options = options

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        allowed = self._options.origin_header(Headers(scope=scope).get("origin"))

        async def with_header(message: Message) -> None:
            if allowed is not None and message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["Access-Control-Allow-Origin"] = allowed
                headers.add_vary_header("Origin")
            await send(message)

        if scope["method"] == "OPTIONS":
            await self._answer()(scope, receive, with_header)
        else:
            await self._app(scope, receive, with_header)

    def _answer(self) -> Response:
        return Response(
            headers={
                "Access-Control-Allow-Credentials": "true" if self._options.credentials else "false",
                "Access-Control-Allow-Methods": self._options.methods,
                "Access-Control-Allow-Headers": self._options.headers,
            }
        )


def _is_local(origin: str) -> bool:
    try:
        return urlsplit(origin).hostname in _LOCAL
    except ValueError:
        return False


def _listed(origin: str | None, origins: str) -> str | None:
    return origin if origin in [each.strip() for each in origins.split(",")] else None
