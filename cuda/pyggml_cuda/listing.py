"""The GPUs of this machine. Importing it needs CuPy."""

from dataclasses import dataclass

import cupy

from pyggml_cuda.device import LEAST_CAPABILITY


@dataclass(frozen=True)
class GPU:
    """One of them."""

    number: int
    name: str
    capability: tuple[int, int]
    free_bytes: int
    total_bytes: int

    @property
    def is_usable(self) -> bool:
        """Whether kernels run on it."""
        return self.capability >= LEAST_CAPABILITY


def gpus() -> list[GPU]:
    """All of them; none without a driver."""
    try:
        n_devices = cupy.cuda.runtime.getDeviceCount()
    except cupy.cuda.runtime.CUDARuntimeError:
        return []
    found = []
    for number in range(n_devices):
        properties = cupy.cuda.runtime.getDeviceProperties(number)
        with cupy.cuda.Device(number):
            free, total = cupy.cuda.runtime.memGetInfo()
        capability = properties["major"], properties["minor"]
        found.append(GPU(number, properties["name"].decode(), capability, int(free), int(total)))
    return found


def driver_version() -> tuple[int, int]:
    """The newest CUDA that the driver is made for, as in (13, 0)."""
    version = cupy.cuda.runtime.driverGetVersion()
    return version // 1000, version % 1000 // 10
