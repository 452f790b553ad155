"""Errors under /v1/messages, in the words of Anthropic's API."""

import json
from typing import Any

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_PREFIX = "/v1/messages"
_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    503: "overloaded_error",
}


def anthropic_body(status: int, message: str) -> dict[str, Any]:
    """The JSON of an error."""
    return {"type": "error", "error": {"type": _TYPES.get(status, "api_error"), "message": message}}


class AnthropicErrors:
    """Puts the errors of all that is inside it, which are in OpenAI's words, into Anthropic's."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] != "http" or not scope["path"].startswith(_PREFIX):
            await self._app(scope, receive, send)
            return
        failed: Message | None = None
        body = b""

        async def translated(message: Message) -> None:
            nonlocal failed, body
            if message["type"] == "http.response.start" and message["status"] >= 400:
                failed = message
            elif failed is None:
                await send(message)
            else:
                body += message.get("body", b"")
                if not message.get("more_body"):
                    text = _translated(failed["status"], body)
                    MutableHeaders(scope=failed)["content-length"] = str(len(text))
                    await send(failed)
                    await send({"type": "http.response.body", "body": text})

        await self._app(scope, receive, translated)


def _translated(status: int, body: bytes) -> bytes:
    """An error's body; one without an error in it stays as it is."""
    try:
        message = json.loads(body)["error"]["message"]
    except (ValueError, KeyError, TypeError):
        return body
    return json.dumps(anthropic_body(status, message)).encode()
