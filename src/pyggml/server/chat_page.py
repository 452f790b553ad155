"""GET / and /docs: the chat page, and the API described. Their files are in the folder page/, as they are served."""

import os
from pathlib import Path, PurePath

from fastapi import FastAPI, Request
from fastapi.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

_FOLDER = Path(__file__).parent / "page"
# Named here, as an operating system may call scripts plain text, and browsers then do not run them.
_MEDIA_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
#: The page takes nothing from elsewhere, and makes elements one by one: text of a model can never become markup.
CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' blob:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)
_HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


class _PageFiles(StaticFiles):
    """The folder's files, with their media types and what a browser is to hold the page to."""

    def file_response(
        self, full_path: str | os.PathLike[str], stat_result: os.stat_result, scope: Scope, status_code: int = 200
    ) -> Response:
        response = super().file_response(full_path, stat_result, scope, status_code)
        response.headers.update(_HEADERS | {"Content-Type": _MEDIA_TYPES[PurePath(full_path).suffix]})
        return response


def add_pages(app: FastAPI) -> None:
    """Serve the pages, and what they are made of under /page/."""
    files = _PageFiles(directory=_FOLDER)

    async def chat(request: Request) -> Response:
        return await files.get_response("index.html", request.scope)

    async def docs(request: Request) -> Response:
        return await files.get_response("docs.html", request.scope)

    app.add_route("/", chat, include_in_schema=False)
    app.add_route("/docs", docs, include_in_schema=False)
    app.mount("/page", files)
