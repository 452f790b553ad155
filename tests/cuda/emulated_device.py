"""What stands for `pyggml_cuda.device`, and for CuPy, where the emulator computes: whole models run on it."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from pyggml_cuda import cache_store, device, trial
from pyggml_cuda.launch import Launch
from pyggml_reference.ptx.memory import GLOBAL_BASE
from tests.cuda.emulation import Emulator

Action = Callable[[Any], None]


@dataclass(frozen=True)
class Pointer:
    """What the `data` of a CuPy array is."""

    ptr: int


class DeviceArray(np.ndarray[Any, np.dtype[Any]]):
    """An array, of which the emulated device can tell the address if it lies in its memory."""

    emulator: Emulator

    def __array_finalize__(self, source: Any) -> None:
        self.emulator = getattr(source, "emulator", None)  # type: ignore[assignment]  # of arrays made by CuPy's functions

    @property
    def data(self) -> Any:
        """Where it begins."""
        start = self.emulator.memory.flat.__array_interface__["data"][0]
        offset = self.__array_interface__["data"][0] - start
        if not 0 <= offset < self.emulator.memory.flat.nbytes:
            raise TypeError("an array that is not in the device's memory has no address there")
        return Pointer(GLOBAL_BASE + offset)


class Stream:
    """Everything is over at once."""

    ptr = 0

    def synchronize(self) -> None:
        """Nothing to wait for."""


Stream.null = Stream()  # type: ignore[attr-defined]  # as CuPy has it


@dataclass(frozen=True)
class Graph:
    """Actions to be done again."""

    actions: Sequence[Action]

    def launch(self, stream: Any) -> None:
        """Do them."""
        for each in self.actions:
            each(stream)


class EmulatedCuPy:
    """CuPy's functions, as far as they are used; NumPy's otherwise."""

    def __init__(self, emulator: Emulator) -> None:
        self._emulator = emulator

    def __getattr__(self, name: str) -> Any:
        return getattr(np, name)

    def asarray(self, array: Any) -> DeviceArray:
        """A copy in the device's memory."""
        host = np.ascontiguousarray(array)
        result = self.empty(np.shape(array), host.dtype)
        result[...] = host.reshape(result.shape)
        return result

    def empty(self, shape: Any, dtype: Any = np.float64) -> DeviceArray:
        """Garbage."""
        kind = np.dtype(dtype)
        n_bytes = int(np.prod(shape)) * kind.itemsize
        address = self._emulator.allocate(n_bytes)
        bytes_there = self._emulator.memory.bytes_at(address, n_bytes)
        result: DeviceArray = bytes_there.view(kind).reshape(shape).view(DeviceArray)
        result.emulator = self._emulator
        return result

    def zeros(self, shape: Any, dtype: Any = np.float64) -> DeviceArray:
        """Zeros."""
        return self.full(shape, 0, dtype)

    def ones(self, shape: Any, dtype: Any = np.float64) -> DeviceArray:
        """Ones."""
        return self.full(shape, 1, dtype)

    def full(self, shape: Any, value: Any, dtype: Any = None) -> DeviceArray:
        """The same number everywhere."""
        result = self.empty(shape, dtype or np.asarray(value).dtype)
        result[...] = value
        return result

    def asnumpy(self, array: Any) -> npt.NDArray[Any]:
        """A copy in the host's memory."""
        return np.array(array, subok=False)


class EmulatedDevice:
    """A GPU of some compute capability, with 64 MiB of memory."""

    def __init__(self, capability: tuple[int, int] = (9, 0), n_bytes: int = 1 << 26) -> None:
        self.emulator = Emulator(n_bytes, f"{capability[0]}{capability[1]}")
        self.cupy = EmulatedCuPy(self.emulator)
        self.capability = capability
        self.launched: list[str] = []

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Take the place of the real one."""
        for name, function in {
            "launching": self._launching,
            "captured": lambda actions, stream: Graph(list(actions)),
            "multiplying": self._multiplying,
            "allocate": lambda n: self.cupy.zeros(n, np.uint8),
            "upload": self.cupy.asarray,
            "pinned": lambda n: np.zeros(n, np.uint8),
            "copy_to_device": self._copy_to_device,
            "copy_to_host": self._copy_to_host,
            "new_stream": Stream,
            "settle": lambda: None,
            "run_now": self._run_now,
            "compute_capability": lambda: self.capability,
            "shared_limit": lambda: 227 * 1024 if self.capability >= (8, 0) else 64 * 1024,
            "on": lambda number: nullcontext(),
            "usable": lambda: [0, 1],
            "free_bytes": lambda number: 100 << 30,
            "unavailable": lambda: None,
        }.items():
            monkeypatch.setattr(device, name, function)
        monkeypatch.setattr(cache_store, "cupy", self.cupy)
        monkeypatch.setattr(cache_store, "settle", lambda: None)
        trial.wide_products_agree.cache_clear()
        monkeypatch.setattr("pyggml_cuda.driver.is_installed", lambda: True)

    def _launching(self, launch: Launch) -> Action:
        def start(stream: Any) -> None:
            self.launched.append(launch.kernel.expression)
            self.emulator.run(launch)

        return start

    def _run_now(self, *launches: Launch) -> None:
        for each in launches:
            self._launching(each)(None)

    def _copy_to_device(self, target: int, source: npt.NDArray[Any], stream: Any) -> None:
        if source.nbytes:
            data = np.ascontiguousarray(source).view(np.uint8).reshape(-1)
            self.emulator.memory.bytes_at(target, source.nbytes)[:] = data

    def _copy_to_host(self, target: npt.NDArray[Any], source: int, stream: Any) -> None:
        data = self.emulator.memory.bytes_at(source, target.nbytes)
        target.view(np.uint8).reshape(-1)[:] = data

    def _multiplying(
        self, weights: int, x: int, out: int, number_bytes: int, is_bfloat: bool, n_rows: int, n_columns: int, n: int
    ) -> Action:
        def start(stream: Any) -> None:
            a, b = (self._floats(each, m * n_columns, number_bytes, is_bfloat).reshape(m, -1) for each, m in
                    ((x, n), (weights, n_rows)))  # fmt: skip
            product = (a @ b.T).astype(np.float32)
            self.emulator.memory.bytes_at(out, product.nbytes)[:] = product.view(np.uint8).reshape(-1)

        return start

    def _floats(self, address: int, n: int, number_bytes: int, is_bfloat: bool) -> npt.NDArray[np.float64]:
        data = self.emulator.memory.bytes_at(address, n * number_bytes)
        if is_bfloat:
            return (data.view(np.uint16).astype(np.uint32) << 16).view(np.float32).astype(np.float64)
        return data.view(np.float32 if number_bytes == 4 else np.float16).astype(np.float64)
