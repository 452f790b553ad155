"""Pictures in requests: as base64, in data URLs, or at an address that the server reads them from."""

import base64
import binascii
from collections.abc import Sequence

import httpx

from pyggml.engine import Picture
from pyggml.errors import ImageError, UsageError
from pyggml.server.service import Service

#: What llama-server allows for a picture at an address.
_MAX_BYTES, _SECONDS = 10 << 20, 10.0
_SHOWN = 60


def look_at(service: Service, given: Sequence[tuple[str, str]]) -> list[Picture]:
    """What the model sees of pictures, each given as its data or address and its place in the body.

    It takes long, on the scheduler's thread and on this one, which must not be that of the event loop. Raises
    UsageError if the model has no vision tower, ImageError.
    """
    if not given:
        return []
    if service.model.tower is None:
        raise UsageError(f"{given[0][1]}: the server was started without --mmproj, and sees no pictures")
    data = [(picture_data(source, place), place) for source, place in given]
    tower = service.model.tower
    return service.scheduler.call(lambda: [tower.look(*each) for each in data]).result()


def picture_data(source: str, place: str) -> bytes:
    """The bytes of a picture's file. Raises ImageError."""
    if source.startswith(("http://", "https://")):
        return _fetched(source, place)
    if source.startswith("file:"):
        raise ImageError(f"{place}: files of the server are not read: send the picture itself, as base64")
    head, comma, data = source.partition(",")
    if source.startswith("data:") and not (comma and head.startswith("data:image/") and head.endswith(";base64")):
        raise ImageError(
            f"{place}: {head[:_SHOWN]!r} is no picture in base64, which begins with data:image/...;base64,"
        )
    try:
        return base64.b64decode(data if comma else source, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ImageError(f"{place}: neither an address nor base64: {error}") from None


def _fetched(url: str, place: str) -> bytes:
    parts: list[bytes] = []
    n_bytes = 0
    try:
        with httpx.stream("GET", url, timeout=_SECONDS, follow_redirects=True) as answer:
            answer.raise_for_status()
            for part in answer.iter_bytes():
                parts.append(part)
                n_bytes += len(part)
                if n_bytes > _MAX_BYTES:
                    raise ImageError(f"{place}: {url[:_SHOWN]} has more than {_MAX_BYTES} bytes, the most allowed")
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise ImageError(f"{place}: {url[:_SHOWN]} cannot be read: {error or type(error).__name__}") from None
    return b"".join(parts)
