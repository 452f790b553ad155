"""Where a model's layers go: on the GPU or the CPU, by what is asked for and what fits."""

import importlib
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import accumulate

from pyggml.backend.cpu import CPUBackend
from pyggml.backend.protocol import Backend, Executor
from pyggml.backend.split import LayerSplit
from pyggml.errors import ModelError, UsageError
from pyggml_kernels.formats import FORMATS, Format

#: What `n_gpu_layers` says besides a number: as many layers as fit, or all of them.
AUTO, ALL = "auto", "all"
#: Bytes of a GPU's memory that are left to others, and to what is not counted.
MARGIN = 1 << 30


@dataclass(frozen=True)
class Needs:
    """Bytes of a GPU's memory that a model needs."""

    layers: tuple[int, ...]
    """The weights of each layer with its keys and values, then those of the output."""
    shared: int
    """Once, wherever there are layers: a batch on its way through them, weights on their way to their places."""

    def of(self, n: int) -> int:
        """For the last `n` layers, the output being the very last."""
        return sum(self.layers[len(self.layers) - n :]) + self.shared if n else 0

    def most(self, n_bytes: int) -> int:
        """The most layers, the last ones, that fit into so many bytes."""
        sizes = accumulate(reversed(self.layers), initial=self.shared)
        return max(0, sum(size <= n_bytes for size in sizes) - 1)


@dataclass(frozen=True)
class Placement:
    """A backend for each layer, and one for the output behind them; the threads that compute."""

    layers: tuple[Backend, ...]
    n_threads: int
    reason: str
    """What was chosen, and why."""
    n_on_gpu: int = 0
    """How many layers are on the GPU, the output counted as one."""
    n_fitting: int = 0
    """How many it had room for, as far as that could be told."""

    @property
    def executor(self) -> Executor:
        """What computes all of the model."""
        return LayerSplit(self.layers) if self.layers[0] is not self.layers[-1] else self.layers[0]

    @property
    def advice(self) -> str:
        """What to do if the GPU's memory does not suffice after all."""
        return f"use -ngl {min(self.n_fitting, self.n_on_gpu - 1)}, a smaller context (-c) or a smaller file"


@dataclass(frozen=True)
class _Choice:
    """So many layers on the GPU, why, and how many would fit."""

    n_on_gpu: int
    reason: str
    n_fitting: int = 0


def place(
    n_gpu_layers: int | str,
    n_layers: int,
    *,
    needs: Callable[[], Needs],
    unfit: str | None,
    formats: Mapping[int, Format],
    n_threads: int | None,
    n_batch: int,
    n_sequences: int,
) -> Placement:
    """The last `n_gpu_layers` layers, of which the output is the very last, on the GPU: a number, `all` or a negative
    number for all of them, `auto` for as many as fit into the memory that is free, but for a margin.

    RuntimeWarning, and the CPU, if that cannot be; but for `auto` where there is no GPU: then without a warning. For a
    number, `needs` raises if a GPU does not take the model. UsageError for any other word. unfit: why the model is for
    the CPU alone, if it is. formats: those that it may be stored in, by their number in the file.
    """
    choice = _choose(_wanted(n_gpu_layers, n_layers), n_layers, unfit or _unfit(formats), needs)
    on_gpu: tuple[Backend, ...] = ()
    if choice.n_on_gpu:
        cuda = importlib.import_module("pyggml.backend.cuda")
        on_gpu = (cuda.CUDABackend(n_batch, n_sequences),) * choice.n_on_gpu
    if choice.n_on_gpu > n_layers:
        return Placement(on_gpu, 1, choice.reason, choice.n_on_gpu, choice.n_fitting)
    cpu = CPUBackend(n_threads, n_batch, n_sequences, formats)
    on_cpu = (cpu,) * (n_layers + 1 - choice.n_on_gpu)
    return Placement(on_cpu + on_gpu, cpu.n_threads, choice.reason, choice.n_on_gpu, choice.n_fitting)


def fit(needs: Needs, n_free: int) -> tuple[int, str]:
    """How many layers fit into so many bytes of which a margin is kept, and why so many, in words."""
    n, n_all = needs.most(n_free - MARGIN), len(needs.layers)
    budget = f"{_size(n_free)} are free, {_size(MARGIN)} of which are left"
    if n == n_all:
        return n, f"all {n_all} layers on the GPU, the output counted as one: they need {_size(needs.of(n))}; {budget}"
    more = f"{n + 1} would need {_size(needs.of(n + 1))}"
    if n:
        chosen = f"the last {n} of {n_all} layers on the GPU, the output counted as one"
        return n, f"{chosen}: they need {_size(needs.of(n))}, {more}; {budget}; a smaller context (-c) makes room"
    return n, f"{more}; {budget}"


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


def _choose(wanted: int | None, n_layers: int, unfit: str | None, needs: Callable[[], Needs]) -> _Choice:
    if wanted == 0:
        return _Choice(0, "all layers on the CPU, as asked for")
    if reason := gpu_unavailable():
        return _on_cpu(reason, is_expected=wanted is None)
    if unfit:
        return _on_cpu(unfit)
    try:
        needed = needs()
    except (ModelError, UsageError) as error:
        if wanted is None:
            return _on_cpu(str(error))
        raise
    n_free = importlib.import_module("pyggml_cuda.device").free_bytes()
    n, reason = fit(needed, n_free)
    if wanted is not None:
        return _Choice(wanted, f"the last {wanted} of {n_layers + 1} layers on the GPU, as asked for", n)
    return _Choice(n, reason, n) if n else _on_cpu(reason)


def _on_cpu(reason: str, *, is_expected: bool = False) -> _Choice:
    said = f"all layers run on the CPU, none on a GPU: {reason}"
    if not is_expected:
        warnings.warn(said, RuntimeWarning, stacklevel=5)
    return _Choice(0, said)


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


def _size(n_bytes: int) -> str:
    return f"{n_bytes / 2**30:.1f} GiB" if n_bytes >= 2**30 else f"{n_bytes / 2**20:.0f} MiB"
