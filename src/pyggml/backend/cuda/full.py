"""A GPU whose memory is full."""

from collections.abc import Iterator
from contextlib import contextmanager

from pyggml.errors import DeviceMemoryError


@contextmanager
def room_for(what: str) -> Iterator[None]:
    """What is done here takes memory of the GPU; DeviceMemoryError if there is none left."""
    try:
        yield
    except MemoryError as error:
        raise DeviceMemoryError(f"the GPU's memory is full: no room for {what} ({error})") from error
