"""The threads of some blocks: their registers and memory, where each is in the kernel, and what it waits for."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pyggml_reference.ptx.arithmetic import Array, dtype_of
from pyggml_reference.ptx.memory import (
    GLOBAL_BASE,
    LOCAL_BASE,
    SHARED_BASE,
    DeviceMemory,
    EmulationError,
    gather,
    scatter,
)
from pyggml_reference.ptx.program import Immediate, Kernel, Name, Operand, Program
from pyggml_reference.ptx.races import Races

Lanes = npt.NDArray[np.int64]

#: What a thread waits for: nothing, a barrier of its block, a barrier in memory.
RUNNING, AT_BARRIER, AT_PHASE, DONE = range(4)


# Which threads, the bytes, and where in them each of these threads' numbers are.
_Place = tuple[Any, npt.NDArray[np.uint8], npt.NDArray[np.int64]]

_WINDOWS = (
    ("global", GLOBAL_BASE, SHARED_BASE),
    ("shared", SHARED_BASE, LOCAL_BASE),
    ("local", LOCAL_BASE, 1 << 63),
)


@dataclass(frozen=True)
class Grid:
    """How many blocks, of how many threads, with how much shared memory besides what the kernel declares."""

    blocks: tuple[int, int, int]
    n_threads: int
    dynamic_bytes: int = 0


def _aligned(n: int, multiple: int) -> int:
    return -(-n // multiple) * multiple


class Threads:
    """All threads of blocks `first` to `first + n - 1` of a grid; arrays have an entry for each thread."""

    def __init__(
        self, program: Program, kernel: Kernel, grid: Grid, parameters: bytes, memory: DeviceMemory, first: int, n: int
    ) -> None:
        self.kernel = kernel
        self.memory = memory
        self.n_blocks = n
        self.per_block = grid.n_threads
        self.parameters = np.frombuffer(parameters.ljust(_aligned(len(parameters), 8), b"\0"), np.uint8)
        count = n * grid.n_threads
        self.block = np.repeat(np.arange(n), grid.n_threads)
        thread = np.tile(np.arange(grid.n_threads, dtype=np.uint32), n)
        index = first + self.block
        x, y = grid.blocks[0], grid.blocks[1]
        self.special: dict[str, Array] = {
            "%tid.x": thread,
            "%laneid": thread % 32,
            "%ctaid.x": (index % x).astype(np.uint32),
            "%ctaid.y": (index // x % y).astype(np.uint32),
            "%ctaid.z": (index // (x * y)).astype(np.uint32),
        }
        sizes = {"%ntid.x": grid.n_threads, "%ntid.y": 1, "%ntid.z": 1, "%tid.y": 0, "%tid.z": 0}
        sizes |= {f"%nctaid.{axis}": size for axis, size in zip("xyz", grid.blocks, strict=True)}
        self.special |= {name: np.full(count, size, np.uint32) for name, size in sizes.items()}
        self.registers = {name: np.zeros(count, _stored(kind)) for name, kind in kernel.registers.items()}
        self.symbols, shared_bytes = self._lay_out_shared(program, kernel, grid)
        self.shared_stride = _aligned(shared_bytes, 1024)
        self.shared = np.full(n * self.shared_stride, 0xA5, np.uint8)
        self.races = Races(n, grid.n_threads, self.shared.size)
        self.local_stride = _aligned(kernel.local_bytes, 16)
        self.local = np.full(max(1, count * self.local_stride // 16) * 16, 0xA5, np.uint8)
        self.position = np.zeros(count, np.int64)
        self.state = np.zeros(count, np.int64)
        self.state_detail = np.zeros(count, np.int64)
        self.late: list[Callable[[], None]] = []
        """What the copy engine is still to do."""
        self.barriers: dict[tuple[int, int], Any] = {}
        """Those in shared memory, by block and address."""
        self.copy_groups, self.product_groups = np.zeros(count, np.int64), np.zeros(count, np.int64)
        """How many groups of copies and of products a thread has committed."""
        self.pending_copies: list[Any] = []
        self.pending_products: list[Any] = []

    def _lay_out_shared(self, program: Program, kernel: Kernel, grid: Grid) -> tuple[dict[str, int], int]:
        """The offsets of variables, and the bytes of a block's shared memory."""
        symbols, total = {**kernel.parameters, **kernel.shared, **kernel.local}, kernel.shared_bytes
        for name, (alignment, size) in program.shared.items():
            symbols[name] = _aligned(total, alignment)
            total = symbols[name] + size
        # Dynamic memory is aligned as on hardware, but begins at no multiple of 1024.
        start = _aligned(total, 16)
        symbols |= dict.fromkeys(program.dynamic_shared, start)
        return symbols, start + grid.dynamic_bytes

    def read(self, operand: Operand, kind: str, lanes: Lanes) -> Array:
        """An operand's numbers; registers that are wider are cut, narrower ones filled with zeros."""
        dtype = dtype_of(kind)
        if isinstance(operand, Immediate):
            if kind == "pred":
                return np.full(lanes.size, operand.value != 0)
            bits = operand.value % (1 << 8 * dtype.itemsize)
            return np.full(lanes.size, bits, _unsigned(dtype)).view(dtype)
        if not isinstance(operand, Name):
            raise EmulationError(f"{operand} is no number")
        if operand.name in self.symbols or operand.name in self.global_symbols:
            return np.full(lanes.size, self.address_of(operand.name), _unsigned(dtype)).view(dtype)
        values = self.special.get(operand.name)
        if values is None:
            values = self.registers[operand.name]
        taken = values[lanes]
        if kind == "pred" or taken.dtype.itemsize == dtype.itemsize:
            return taken.view(dtype) if taken.dtype != dtype else taken
        return taken.astype(_unsigned(dtype)).view(dtype)

    global_symbols: dict[str, int]
    """Addresses of the program's global variables."""

    def address_of(self, symbol: str) -> int:
        """A variable's address, in its own state space."""
        return self.symbols[symbol] if symbol in self.symbols else self.global_symbols[symbol]

    def write(self, operand: Operand, values: Array, lanes: Lanes) -> None:
        """Put numbers into a register; a wider one takes them with their sign."""
        if not isinstance(operand, Name):
            raise EmulationError(f"{operand} is no register")
        if operand.name == "_":
            return
        register = self.registers[operand.name]
        if values.dtype != bool and values.dtype.itemsize != register.dtype.itemsize:
            kind = "i" if values.dtype.kind == "i" else "u"
            values = values.view(f"{kind}{values.dtype.itemsize}").astype(f"{kind}{register.dtype.itemsize}")
        register[lanes] = values.view(register.dtype)

    def load(self, addresses: Array, space: str, dtype: Any, lanes: Lanes) -> Array:
        """A number for each thread, from a state space, or from generic addresses."""
        result = np.empty(lanes.size, dtype)
        for own, flat, offsets in self._places(addresses, space, result.dtype.itemsize, lanes):
            if flat is self.shared:
                self.races.read(lanes[own], offsets, result.dtype.itemsize)
            result[own] = gather(flat, offsets, dtype)
        return result

    def store(self, addresses: Array, space: str, values: Array, lanes: Lanes) -> None:
        """Write a number for each thread."""
        for own, flat, offsets in self._places(addresses, space, values.dtype.itemsize, lanes):
            if flat is self.shared:
                self.races.write(lanes[own], offsets, values.dtype.itemsize)
            scatter(flat, offsets, values[own])

    def change(
        self, addresses: Array, space: str, values: Array, function: Callable[[Array, Array], Array], lanes: Lanes
    ) -> Array:
        """Change a number for each thread, one after the other; gives what each found."""
        found = np.empty(lanes.size, values.dtype)
        for own, flat, offsets in self._places(addresses, space, values.dtype.itemsize, lanes):
            if flat is self.shared:
                self.races.change(lanes[own], offsets, values.dtype.itemsize)
            for i, offset in zip(np.arange(lanes.size)[own], offsets, strict=True):
                found[i] = gather(flat, np.array([offset]), values.dtype)[0]
                scatter(flat, np.array([offset]), function(found[i : i + 1], values[i : i + 1]))
        return found

    def _places(self, addresses: Array, space: str, n_bytes: int, lanes: Lanes) -> Iterator[_Place]:
        """Where each thread's addresses are; generic ones may be in several spaces."""
        if space != "generic":
            yield np.s_[:], *self._place(addresses, space, n_bytes, lanes)
            return
        for name, start, end in _WINDOWS:
            own = (addresses >= start) & (addresses < end)
            if own.any():
                base = np.uint64(0 if name == "global" else start)
                yield own, *self._place(addresses[own] - base, name, n_bytes, lanes[own])
        if (addresses < _WINDOWS[0][1]).any():
            raise EmulationError(f"there is no memory at {int(addresses.min()):#x}")

    def _place(
        self, addresses: Array, space: str, n_bytes: int, lanes: Lanes
    ) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
        """The bytes of a space, and where in them each thread's addresses are."""
        if space in ("global", "const"):
            return self.memory.flat, self.memory.check(addresses.astype(np.uint64), n_bytes)
        offsets = addresses.astype(np.int64)
        flat, stride, owner = {
            "shared": (self.shared, self.shared_stride, self.block[lanes]),
            "local": (self.local, self.local_stride, lanes),
            "param": (self.parameters, 0, lanes),
        }[space]
        limit = stride or flat.size
        if (offsets < 0).any() or (offsets + n_bytes > limit).any():
            raise EmulationError(f"{n_bytes} bytes at {offsets.max()} are outside of {space} memory of {limit}")
        return flat, offsets + owner * stride

    def alive_in(self, block: int) -> int:
        """How many threads of a block are not done."""
        return int(np.count_nonzero((self.block == block) & (self.state != DONE)))


def _stored(kind: str) -> Any:
    return bool if kind == "pred" else _unsigned(dtype_of(kind))


def _unsigned(dtype: np.dtype[Any]) -> np.dtype[Any]:
    return np.dtype(f"u{dtype.itemsize}")
