"""Errors as the API shows them: `{"error": {"code", "message", "type", ...}}` with the status that belongs to it."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from pyggml.errors import (
    ChatTemplateError,
    ContextError,
    DeviceError,
    ImageError,
    PromptTooLongError,
    PyggmlError,
    QueueFullError,
    SessionFileError,
    StoppedError,
    TokenizerError,
    UsageError,
)

_logger = logging.getLogger(__name__)
_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    408: "invalid_request_error",
    413: "invalid_request_error",
    500: "server_error",
    501: "not_supported_error",
    503: "unavailable_error",
}
_STATUSES: tuple[tuple[type[PyggmlError], int], ...] = (
    (QueueFullError, 503),
    (StoppedError, 503),
    (DeviceError, 503),
    (ContextError, 400),
    (ImageError, 400),
    (TokenizerError, 400),
    (ChatTemplateError, 400),
    (SessionFileError, 400),
    (UsageError, 400),
)
#: What FastAPI says less clearly: its own 400 is for bytes that are no UTF-8.
_MESSAGES = {400: "body: it is no JSON in UTF-8", 404: "File Not Found"}
_RETRY_SECONDS = "1"


class ApiError(Exception):
    """An error with its HTTP status; `type_` if the status does not tell it, `more` for further fields."""

    def __init__(self, status: int, message: str, type_: str | None = None, **more: Any) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.type = type_ or _TYPES.get(status, "server_error")
        self.more = more

    @property
    def body(self) -> dict[str, Any]:
        """The JSON that is sent, in an answer or as an event of a stream."""
        return {"error": {"code": self.status, "message": self.message, "type": self.type, **self.more}}

    def response(self) -> JSONResponse:
        """The answer."""
        headers = {"Retry-After": _RETRY_SECONDS} if self.status == 503 else None
        return JSONResponse(self.body, self.status, headers)


def as_api_error(error: Exception) -> ApiError:
    """Any error, as the API shows it; one that is no error of pyggml's is logged."""
    if isinstance(error, ApiError):
        return error
    if isinstance(error, PromptTooLongError):
        counts = {"n_prompt_tokens": error.n_tokens, "n_ctx": error.n_ctx}
        return ApiError(400, str(error), "exceed_context_size_error", **counts)
    if isinstance(error, PyggmlError):
        status = next((status for kind, status in _STATUSES if isinstance(error, kind)), 500)
        return ApiError(status, str(error))
    _logger.error("a request failed", exc_info=error)
    return ApiError(500, f"this is a bug in pyggml: {type(error).__name__}: {error}")


def describe_invalid(problems: Sequence[Mapping[str, Any]]) -> str:
    """What is wrong with a request's body, field by field."""
    return "; ".join(f"{_field_of(problem['loc'])}: {problem['msg']}" for problem in problems)


def _field_of(place: Sequence[str | int]) -> str:
    """The name of a field, such as messages[0].role; "body" alone if the body is no JSON object at all."""
    names = list(place[1:]) if len(place) > 1 and isinstance(place[1], str) else list(place[:1])
    return "".join(f"[{name}]" if isinstance(name, int) else f".{name}" for name in names).lstrip(".")


def add_error_handlers(app: FastAPI) -> None:
    """Have all errors answered in the API's shape."""

    async def known(_: Request, error: Exception) -> JSONResponse:
        return as_api_error(error).response()

    async def invalid(_: Request, error: Exception) -> JSONResponse:
        problems = error.errors() if isinstance(error, RequestValidationError) else ()
        return ApiError(400, describe_invalid(problems)).response()

    async def http(_: Request, error: Exception) -> JSONResponse:
        status = error.status_code if isinstance(error, HTTPException) else 500
        if status == 405:  # llama-server knows a path by its method
            status = 404
        message = _MESSAGES.get(status) or str(getattr(error, "detail", error))
        return ApiError(status, message).response()

    app.add_exception_handler(ApiError, known)
    app.add_exception_handler(PyggmlError, known)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, http)
    app.add_exception_handler(Exception, known)
