"""The status that an error has over HTTP."""

import pytest

from pyggml.errors import ContextError, DeviceError, DeviceMemoryError, PyggmlError, QueueFullError, StoppedError
from pyggml.server.errors import as_api_error


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (DeviceError("the GPU failed"), 503),
        (DeviceMemoryError("the GPU's memory is full"), 503),
        (QueueFullError("too many"), 503),
        (StoppedError("shutting down"), 503),
        (ContextError("too long"), 400),
        (PyggmlError("something else"), 500),
    ],
)
def test_the_status_of_an_error(error: PyggmlError, status: int) -> None:
    shown = as_api_error(error)
    assert (shown.status, shown.body["error"]["message"]) == (status, str(error))
    assert shown.response().headers.get("retry-after") == ("1" if status == 503 else None)
