"""Where a model's layers go: on GPUs or the CPU, by what is asked for and what fits."""

import importlib
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from pyggml.backend.cpu import CPUBackend
from pyggml.backend.overrides import TensorOverride
from pyggml.backend.protocol import Backend, Executor, TowerBackend
from pyggml.backend.split import LayerSplit
from pyggml.errors import ModelError, UsageError
from pyggml.gpus import CPU, DeviceOptions, choose, usable
from pyggml.sharing import Needs, Sharing, explain, most, share
from pyggml_kernels.formats import FORMATS, Format

#: What `n_gpu_layers` says besides a number: as many layers as fit, or all of them.
AUTO, ALL = "auto", "all"


@dataclass(frozen=True)
class Placement:
    """A backend for each layer, and one for the output behind them; the threads that compute."""

    layers: tuple[TowerBackend, ...]
    n_threads: int
    reason: str
    """What was chosen, and why."""
    n_on_gpu: int = 0
    """How many layers are on GPUs, the output counted as one."""
    n_fitting: int = 0
    """How many they had room for, as far as that could be told."""
    keeper: Backend | None = None
    """What keeps the keys and values of all layers, if not each layer's backend its own."""
    overrides: tuple[TensorOverride[Backend], ...] = ()
    """Where tensors lie whatever their layer is."""

    @property
    def executor(self) -> Executor:
        """What computes all of the model."""
        if self.layers[0] is self.layers[-1] and not self.keeper and not self.overrides:
            return self.layers[0]
        return LayerSplit(self.layers, self.keeper, self.overrides)

    @property
    def advice(self) -> str:
        """What to do if a GPU's memory does not suffice after all."""
        return f"use -ngl {min(self.n_fitting, self.n_on_gpu - 1)}, a smaller context (-c) or a smaller file"


@dataclass(frozen=True)
class _Choice:
    """How GPUs share layers, if they have any; why, and how many would fit."""

    reason: str
    sharing: Sharing | None = None
    n_fitting: int = 0


def place(
    n_gpu_layers: int | str,
    n_layers: int,
    *,
    options: DeviceOptions,
    needs: Callable[[], Needs],
    formats: Mapping[int, Format],
    n_threads: int | None,
    n_batch: int,
    n_sequences: int,
) -> Placement:
    """The last `n_gpu_layers` layers, of which the output is the very last, on GPUs: a number, `all` or a negative
    number for all of them, `auto` for as many as fit into the memory that is free, but for a margin.

    RuntimeWarning, and the CPU, if that cannot be; but for `auto` where there is no GPU: then without a warning. For a
    number, `needs` raises if a GPU does not take the model. UsageError for any other word, and for devices that are not
    there. formats: those that it may be stored in, by their number in the file.
    """
    unfit = _unfit(formats)
    choice = _choose(_wanted(n_gpu_layers, n_layers), n_layers, unfit, needs, options)
    backends = _Backends(lambda: CPUBackend(n_threads, n_batch, n_sequences, formats), n_batch, n_sequences)
    on_gpu = backends.of(choice.sharing) if choice.sharing else ()
    on_cpu = tuple(backends.cpu for _ in range(n_layers + 1 - len(on_gpu)))
    keeper = None if options.kv_offload or not on_gpu else backends.cpu
    overrides = backends.overriding(options.override_tensor, unfit)
    return Placement(
        on_cpu + on_gpu,
        backends.n_threads,
        choice.reason + ("; keys and values stay in main memory" if keeper else ""),
        len(on_gpu),
        choice.n_fitting,
        keeper,
        overrides,
    )


class _Backends:
    """The devices of a model, each made when it is first asked for."""

    def __init__(self, make_cpu: Callable[[], CPUBackend], n_batch: int, n_sequences: int) -> None:
        self._make_cpu = make_cpu
        self._sizes = n_batch, n_sequences
        self._cpu: CPUBackend | None = None
        self._gpus: dict[int, TowerBackend] = {}

    @property
    def cpu(self) -> CPUBackend:
        """The CPU."""
        self._cpu = self._cpu or self._make_cpu()
        return self._cpu

    @property
    def n_threads(self) -> int:
        """The threads that compute; 1 if the CPU has nothing to do."""
        return self._cpu.n_threads if self._cpu else 1

    def gpu(self, number: int) -> TowerBackend:
        """The GPU of this number."""
        if number not in self._gpus:
            cuda = importlib.import_module("pyggml.backend.cuda")
            self._gpus[number] = cuda.CUDABackend(*self._sizes, number)
        return self._gpus[number]

    def of(self, sharing: Sharing) -> tuple[TowerBackend, ...]:
        """The GPU of each layer."""
        each = zip(sharing.rooms, sharing.counts, strict=True)
        return tuple(self.gpu(room.number) for room, n in each for _ in range(n))

    def overriding(
        self, overrides: Sequence[tuple[str, str]], unfit: str | None
    ) -> tuple[TensorOverride[Backend], ...]:
        """Each override with its device. Raises UsageError for one that is not there."""
        return tuple(TensorOverride(pattern, self._named(device, unfit)) for pattern, device in overrides)

    def _named(self, device: str, unfit: str | None) -> Backend:
        if device == CPU:
            return self.cpu
        if reason := gpu_unavailable() or unfit:
            raise UsageError(f"override_tensor names {device!r}; {reason}")
        if device not in usable():
            raise UsageError(f"override_tensor names {device!r}; allowed are {', '.join((CPU, *usable()))}")
        return self.gpu(usable()[device])


def _wanted(n_gpu_layers: int | str, n_layers: int) -> int | None:
    """How many layers are asked for; None for as many as fit."""
    if n_gpu_layers == AUTO:
        return None
    if n_gpu_layers == ALL:
        return n_layers + 1
    if isinstance(n_gpu_layers, str):
        raise UsageError(f"n_gpu_layers is {n_gpu_layers!r}; allowed are a number of layers, {AUTO!r} and {ALL!r}")
    return min(n_gpu_layers, n_layers + 1) if n_gpu_layers >= 0 else n_layers + 1


def _unfit(formats: Mapping[int, Format]) -> str | None:
    own = [form.name for number, form in formats.items() if number not in FORMATS]
    return f"formats of one's own ({', '.join(own)}) are for the CPU" if own else None


def _choose(
    wanted: int | None, n_layers: int, unfit: str | None, needs: Callable[[], Needs], options: DeviceOptions
) -> _Choice:
    if wanted == 0 or options.uses_none:
        return _Choice("all layers on the CPU, as asked for")
    if reason := gpu_unavailable():
        if options.devices is not None:
            raise UsageError(f"device is {','.join(options.devices)!r}; {reason}")
        return _on_cpu(reason, is_expected=wanted is None)
    numbers = choose(options)
    if unfit:
        return _on_cpu(unfit)
    try:
        needed = needs()
    except (ModelError, UsageError) as error:
        if wanted is None:
            return _on_cpu(str(error))
        raise
    free_bytes = importlib.import_module("pyggml_cuda.device").free_bytes
    rooms = [needed.room(number, free_bytes(number)) for number in numbers]
    fitting = most(needed, rooms, options.shares)
    if wanted is not None:
        asked = share(needed, wanted, rooms, options.shares)
        where = f"GPU{'s' if len(rooms) > 1 else ''}{asked}"
        return _Choice(f"the last {wanted} of {n_layers + 1} layers on the {where}, as asked for", asked, fitting.n)
    more = None if fitting.n > n_layers else share(needed, fitting.n + 1, rooms, options.shares)
    reason = explain(fitting, more)
    return _Choice(reason, fitting, fitting.n) if fitting.n else _on_cpu(reason)


def _on_cpu(reason: str, *, is_expected: bool = False) -> _Choice:
    said = f"all layers run on the CPU, none on a GPU: {reason}"
    if not is_expected:
        warnings.warn(said, RuntimeWarning, stacklevel=5)
    return _Choice(said)


def gpu_unavailable() -> str | None:
    """Why no GPU can be used; None if one can."""
    if not importlib.import_module("pyggml_cuda.driver").is_installed():
        return "there is no CUDA driver on this machine; NVIDIA's is needed for its GPUs"
    try:
        device = importlib.import_module("pyggml_cuda.device")
    except ImportError as error:
        return f"CuPy cannot be imported ({error}); pip install 'pyggml[cuda]'"
    reason: str | None = device.unavailable()
    return reason
