"""A GPU at work: the current one meanwhile, and named where its memory is full, or where it fails."""

from collections.abc import Iterator
from contextlib import contextmanager

from pyggml.errors import DeviceError, DeviceMemoryError
from pyggml_cuda import device


@contextmanager
def room_for(what: str, number: int) -> Iterator[None]:
    """What is done here takes memory of this GPU; DeviceMemoryError if there is none left."""
    try:
        with device.on(number):
            yield
    except MemoryError as error:
        raise DeviceMemoryError(f"CUDA{number}'s memory is full: no room for {what} ({error})") from error


@contextmanager
def at_work(number: int) -> Iterator[None]:
    """What is done here is done by this GPU; DeviceError if it fails, or is not there any more."""
    try:
        with device.on(number):
            yield
    except device.FAILURES as error:
        advice = "start anew; if it fails again, leave it out with --device, or use -ngl 0"
        raise DeviceError(f"CUDA{number} failed ({error}); {advice}") from error
