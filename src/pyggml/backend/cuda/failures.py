"""A GPU whose memory is full, or that fails."""

from collections.abc import Iterator
from contextlib import contextmanager

from pyggml.errors import DeviceError, DeviceMemoryError
from pyggml_cuda import device


@contextmanager
def room_for(what: str) -> Iterator[None]:
    """What is done here takes memory of the GPU; DeviceMemoryError if there is none left."""
    try:
        yield
    except MemoryError as error:
        raise DeviceMemoryError(f"the GPU's memory is full: no room for {what} ({error})") from error


@contextmanager
def at_work() -> Iterator[None]:
    """What is done here is done by the GPU; DeviceError if it fails, or is not there any more."""
    try:
        yield
    except device.FAILURES as error:
        raise DeviceError(f"the GPU failed ({error}); start anew, with -ngl 0 if it fails again") from error
