"""Where a model's layers go: on the GPU or the CPU."""

import importlib
import warnings
from collections.abc import Mapping
from dataclasses import dataclass

from pyggml.backend.cpu import CPUBackend
from pyggml.backend.protocol import Backend, Executor
from pyggml.backend.split import LayerSplit
from pyggml_kernels.formats import FORMATS, Format


@dataclass(frozen=True)
class Placement:
    """A backend for each layer, and one for the output behind them; the threads that compute."""

    layers: tuple[Backend, ...]
    n_threads: int

    @property
    def executor(self) -> Executor:
        """What computes all of the model."""
        return LayerSplit(self.layers) if len(set(map(id, self.layers))) > 1 else self.layers[0]


def place(
    n_gpu_layers: int,
    n_layers: int,
    *,
    formats: Mapping[int, Format],
    n_threads: int | None,
    n_batch: int,
    n_sequences: int,
) -> Placement:
    """The last `n_gpu_layers` layers, of which the output is the very last, on the GPU; all for a negative number.

    RuntimeWarning, and the CPU, if there is no GPU to use, or if the model is stored in a format of one's own. formats:
    those that the model may be stored in, by their number in the file.
    """
    n = n_layers + 1 if n_gpu_layers < 0 else min(n_gpu_layers, n_layers + 1)
    if n and (reason := _unavailable() or _unfit(formats)):
        warnings.warn(f"all layers run on the CPU, none on a GPU: {reason}", RuntimeWarning, stacklevel=3)
        n = 0
    on_gpu: tuple[Backend, ...] = ()
    if n:
        cuda = importlib.import_module("pyggml.backend.cuda")
        on_gpu = (cuda.CUDABackend(n_batch, n_sequences),) * n
    if n > n_layers:
        return Placement(on_gpu, 1)
    cpu = CPUBackend(n_threads, n_batch, n_sequences, formats)
    return Placement((cpu,) * (n_layers + 1 - n) + on_gpu, cpu.n_threads)


def _unavailable() -> str | None:
    """Why no GPU can be used; None if one can."""
    try:
        device = importlib.import_module("pyggml_cuda.device")
    except ImportError as error:
        return f"CuPy cannot be imported ({error}); pip install 'pyggml[cuda]'"
    reason: str | None = device.unavailable()
    return reason


def _unfit(formats: Mapping[int, Format]) -> str | None:
    """Why these formats cannot be on a GPU; None if they can."""
    own = [form.name for number, form in formats.items() if number not in FORMATS]
    return f"formats of one's own ({', '.join(own)}) are for the CPU" if own else None
