"""Where a model's layers go: on GPUs or the CPU, by what is asked for and what fits."""

import importlib
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pyggml.backend.cpu import CPUBackend
from pyggml.backend.protocol import Backend, Executor, StreamingDevice
from pyggml.backend.split import LayerSplit
from pyggml.backend.streaming import StreamingBackend
from pyggml.errors import ModelError, UsageError
from pyggml.gpus import DeviceOptions, choose
from pyggml.sharing import Needs, Room, Sharing, explain, most, share
from pyggml_kernels.formats import FORMATS, Format

#: What `n_gpu_layers` says besides a number: as many layers as fit, or all of them.
AUTO, ALL = "auto", "all"


@dataclass(frozen=True)
class Placement:
    """A backend for each layer, and one for the output behind them; the threads that compute."""

    layers: tuple[Backend, ...]
    n_threads: int
    reason: str
    """What was chosen, and why."""
    n_on_gpu: int = 0
    """How many layers are on GPUs, the output counted as one."""
    n_fitting: int = 0
    """How many they had room for, as far as that could be told."""

    @property
    def executor(self) -> Executor:
        """What computes all of the model."""
        return LayerSplit(self.layers) if self.layers[0] is not self.layers[-1] else self.layers[0]

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
    unfit: str | None,
    formats: Mapping[int, Format],
    n_threads: int | None,
    n_batch: int,
    n_sequences: int,
) -> Placement:
    """The last `n_gpu_layers` layers, of which the output is the very last, on GPUs: a number, `all` or a negative
    number for all of them, `auto` for as many as fit into the memory that is free, but for a margin.

    RuntimeWarning, and the CPU, if that cannot be; but for `auto` where there is no GPU: then without a warning. For a
    number, `needs` raises if a GPU does not take the model. UsageError for any other word, and for devices that are not
    there. unfit: why the model is for the CPU alone, if it is. formats: those that it may be stored in, by their number
    in the file.
    """
    choice = _choose(_wanted(n_gpu_layers, n_layers), n_layers, unfit or _unfit(formats), needs, options)
    on_gpu = _on_gpus(choice.sharing, n_batch, n_sequences) if choice.sharing else ()
    if len(on_gpu) > n_layers:
        return Placement(on_gpu, 1, choice.reason, len(on_gpu), choice.n_fitting)
    cpu = CPUBackend(n_threads, n_batch, n_sequences, formats)
    near: Backend = cpu
    if choice.sharing and options.op_offload:
        near = StreamingBackend(cpu, _streaming_gpu(choice.sharing, n_batch, n_sequences))
    on_cpu = (near,) * (n_layers + 1 - len(on_gpu))
    return Placement(on_cpu + on_gpu, cpu.n_threads, choice.reason, len(on_gpu), choice.n_fitting)


def _on_gpus(sharing: Sharing, n_batch: int, n_sequences: int) -> tuple[Backend, ...]:
    """A backend for each of the layers."""
    cuda = importlib.import_module("pyggml.backend.cuda")
    layers: list[Backend] = []
    for room, n in zip(sharing.rooms, sharing.counts, strict=True):
        if n:
            layers += [cuda.CUDABackend(n_batch, n_sequences, room.number)] * n
    return tuple(layers)


def _streaming_gpu(sharing: Sharing, n_batch: int, n_sequences: int) -> StreamingDevice:
    """What computes long batches of the CPU's layers: the first GPU that has layers of its own."""
    gpu = importlib.import_module("pyggml.backend.cuda").StreamingGPU
    streaming: StreamingDevice = gpu(n_batch, n_sequences, sharing.rooms[sharing.first].number)
    return streaming


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
    rooms = [Room(number, free_bytes(number)) for number in numbers]
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
